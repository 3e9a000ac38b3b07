/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments of IPv4. Only the first tells whose a datagram is: it passes as a packet of its session, and leaves behind what
 * those after it need. One that comes before it, or that overlaps it, is refused, and so is a first one without the whole
 * header of its transport (RFC 1858).
 */
#ifndef SIDEGATE_FRAGMENT_H
#define SIDEGATE_FRAGMENT_H

#include "flow_log.h"
#include "ipv4.h"
#include "toa.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define LONGEST_PAYLOAD (65535 - sizeof(struct iphdr))

/* LRU: what is never finished goes by itself, and a flood of first fragments takes no more than this. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED);
	__type(key, struct fragment_key);
	__type(value, struct fragmented);
} fragments SEC(".maps");

static __always_inline enum counter read_piece(struct __sk_buff *skb, __u32 vpc, struct piece *piece)
{
	struct iphdr ip;

	if (skb->gso_size || bpf_skb_load_bytes(skb, IP_OFFSET, &ip, sizeof(ip)))
		return REFUSED_FRAGMENT;
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP)
		return REFUSED_FRAGMENT;
	if (bpf_ntohl(ip.saddr) >= FIRST_MULTICAST)
		return REFUSED_FRAGMENT;
	piece->last_hop = ip.ttl <= 1;
	__u32 total = bpf_ntohs(ip.tot_len);
	if (total <= sizeof(ip) || total > skb->len - ETH_HLEN)
		return REFUSED_FRAGMENT;
	piece->offset = (bpf_ntohs(ip.frag_off) & IP_FRAGMENT_OFFSET) * 8;
	piece->length = total - sizeof(ip);
	if (ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS) ? piece->length % 8 : 0)
		return REFUSED_FRAGMENT;
	if (piece->offset + piece->length > LONGEST_PAYLOAD)
		return REFUSED_FRAGMENT;
	piece->key = (struct fragment_key){
		.vpc = vpc, .source = ip.saddr, .destination = ip.daddr, .id = ip.id, .protocol = ip.protocol};
	return FORWARDED;
}

static __always_inline bool same_datagram(const struct fragment_key *one, const struct fragment_key *two)
{
	const __u64 *a = (const void *)one, *b = (const void *)two;

	return a[0] == b[0] && a[1] == b[1];
}

/* Copies what the first fragment has left, if it is of this datagram: see copy_entry() for why the key comes last. */
static __always_inline bool find_fragmented(const struct fragment_key *key, struct fragmented *copy)
{
	struct fragmented *found = bpf_map_lookup_elem(&fragments, key);

	if (!found)
		return false;
	*copy = *found;
	barrier();
	return same_datagram(&found->key, key) && copy->until > now_ns();
}

static __always_inline enum counter read_first(struct __sk_buff *skb, const struct piece *piece, struct packet *packet)
{
	const struct fragment_key *key = &piece->key;

	*packet = (struct packet){
		.tuple = {.source = key->source,
			  .destination = key->destination,
			  .vpc_protocol = key->vpc << 8 | key->protocol},
		.transport = {.protocol = key->protocol, .network = sizeof(struct iphdr)},
	};
	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_source), packet->sender, ETH_ALEN) ||
	    read_transport(skb, L4_OFFSET, piece->length, &packet->transport) != FORWARDED ||
	    packet->transport.header > piece->length)
		return REFUSED_FRAGMENT;
	packet->tuple.source_port = packet->transport.source_port;
	packet->tuple.destination_port = packet->transport.destination_port;
	return FORWARDED;
}

/*
 * The datagrams of many clients leave with one source: a random id keeps them apart, and keeps a client from guessing
 * another's. One that is sent again keeps its own.
 */
static __always_inline void leave_behind(struct desk *desk, const struct piece *piece, __u32 out)
{
	struct fragmented *left = &desk->fragmented;
	const struct route *route = &desk->route;
	bool again = find_fragmented(&piece->key, left) && left->slot == desk->packet.slot;
	__be16 id = again ? left->id : bpf_get_prandom_u32();
	struct session *entry = bpf_map_lookup_elem(&sessions, &desk->packet.tuple);

	*left = (struct fragmented){
		.key = piece->key,
		.until = now_ns() + FRAGMENT_SECONDS * NANOSECONDS,
		.source = route->other.destination,
		.destination = route->other.source,
		.address_sum = route->address_sum,
		.vpc = out,
		.slot = desk->packet.slot,
		.header = piece->length,
		.id = id,
	};
	__builtin_memcpy(left->next_hop, route->next_hop, ETH_ALEN);
	if (entry) {
		left->epoch = entry->flow.epoch;
		left->allow_version = entry->flow.allow_version;
		left->service = entry->flow.service;
		left->direction = entry->flow.direction;
	}
	bpf_map_update_elem(&fragments, &piece->key, left, BPF_ANY);
}

static __always_inline void give_id(struct __sk_buff *skb, __be16 before, __be16 after)
{
	bpf_l3_csum_replace(skb, IP_OFFSET + offsetof(struct iphdr, check), before, after, sizeof(after));
	bpf_skb_store_bytes(skb, IP_OFFSET + offsetof(struct iphdr, id), &after, sizeof(after), 0);
}

static __always_inline int carry_first(struct __sk_buff *skb, struct desk *desk, const struct piece *piece)
{
	struct packet *packet = &desk->packet;
	struct route *route = &desk->route;
	enum counter reason = read_first(skb, piece, packet);

	if (piece->last_hop)
		reason = REFUSED_TTL;
	if (reason == FORWARDED)
		reason = let_in(skb, packet, route);
	if (reason != FORWARDED)
		return refuse_for(packet->slot, reason);
	__u32 vpc = route->other.vpc_protocol >> 8;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(packet->slot, REFUSED_NO_DEVICE);
	if (limits(out) && skb->len - ETH_HLEN > out->mtu)
		return refuse_for(packet->slot, REFUSED_TOO_LONG);
	leave_behind(desk, piece, vpc);
	if (packet->transport.flags & SYN && !introduce(skb, packet, false))
		return refuse_for(packet->slot, REFUSED_FRAGMENT);
	if (packet->transport.flags & SYN)
		clamp(skb, &packet->transport, piece->key.vpc, out);
	give_id(skb, piece->key.id, desk->fragmented.id);
	reason = rewrite(skb, &packet->transport, route, out);
	if (reason != FORWARDED)
		return refuse_for(packet->slot, reason);
	count(FRAGMENT_FORWARDED);
	return leave(skb, out);
}

/* As the first one went, as long as its session would go on passing packets. */
static __always_inline enum counter follow_first(struct __sk_buff *skb, const struct piece *piece,
						 const struct fragmented *first)
{
	struct slot slot = read_slot(first->slot);
	struct service service = read_service(first->service);
	__u64 bytes = skb->len - ETH_HLEN;

	if (slot.epoch != first->epoch || (slot.draining && is_drained(first->slot)))
		return REFUSED_STALE_EPOCH;
	if (slot.allow_version != first->allow_version)
		return REFUSED_NOT_ALLOWED;
	if (piece->last_hop)
		return REFUSED_TTL;
	if (piece->offset < first->header)
		return REFUSED_FRAGMENT;
	if (service.metered && !within_rate(first->slot, first->service, service.version, bytes))
		return REFUSED_LIMIT_RATE;
	count_packets(first->slot, first->direction, 1, bytes);
	return FORWARDED;
}

static __always_inline bool rewrite_later(struct __sk_buff *skb, const struct fragmented *first, const struct vpc *out)
{
	give_id(skb, first->key.id, first->id);
	if (!pull(skb, L4_OFFSET))
		return false;
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(eth->h_dest, first->next_hop, ETH_ALEN);
	__builtin_memcpy(eth->h_source, out->mac, ETH_ALEN);
	ip->saddr = first->source;
	ip->daddr = first->destination;
	ip->ttl--;
	ip->check = ~fold((__u64)(__u16)~ip->check + first->address_sum + (__u16)~TTL_STEP);
	return true;
}

static __always_inline int carry_later(struct __sk_buff *skb, struct desk *desk, const struct piece *piece)
{
	const struct fragmented *first = &desk->fragmented;

	if (!find_fragmented(&piece->key, &desk->fragmented))
		return refuse(REFUSED_FRAGMENT);
	enum counter reason = follow_first(skb, piece, first);
	if (reason != FORWARDED)
		return refuse_for(reason == REFUSED_STALE_EPOCH ? 0 : first->slot, reason);
	__u32 vpc = first->vpc;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(first->slot, REFUSED_NO_DEVICE);
	if (limits(out) && skb->len - ETH_HLEN > out->mtu)
		return refuse_for(first->slot, REFUSED_TOO_LONG);
	if (!rewrite_later(skb, first, out))
		return refuse_for(first->slot, REFUSED_FRAGMENT);
	count(FRAGMENT_FORWARDED);
	return leave(skb, out);
}

__noinline int carry_fragment(struct __sk_buff *skb, __u32 number)
{
	struct desk *desk = find_desk();

	if (!desk)
		return refuse(REFUSED_FRAGMENT);
	struct piece *piece = &desk->piece;
	enum counter reason = read_piece(skb, number, piece);
	if (reason != FORWARDED)
		return refuse(reason);
	return piece->offset ? carry_later(skb, desk, piece) : carry_first(skb, desk, piece);
}

#endif
