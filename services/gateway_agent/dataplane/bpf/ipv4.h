/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What sessions must know of IPv4: session.h is included behind it. */
#ifndef SIDEGATE_IPV4_H
#define SIDEGATE_IPV4_H

#include "packet.h"

#define FIRST_MULTICAST 0xe0000000 /* 224.0.0.0 */

/* Not inline: the stack has no room for it where a packet is read. */
__noinline int is_fragment(struct __sk_buff *skb)
{
	struct iphdr ip;

	return !bpf_skb_load_bytes(skb, IP_OFFSET, &ip, sizeof(ip)) && ip.version == 4 && ip.ihl == 5 &&
	       ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS_OR_OFFSET);
}

static __always_inline enum counter read_packet(struct __sk_buff *skb, __u32 vpc, struct packet *packet)
{
	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return REFUSED_NOT_FOR_US;
	if (!pull(skb, L4_OFFSET + sizeof(struct udphdr)))
		return is_fragment(skb) ? REFUSED_FRAGMENT : REFUSED_MALFORMED; /* the last may be of a byte */

	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + IP_OFFSET;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->version != 4 || ip->ihl < 5)
		return REFUSED_MALFORMED;
	if (ip->ihl > 5)
		return REFUSED_OPTIONS;
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS_OR_OFFSET))
		return REFUSED_FRAGMENT;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return ip->protocol == IPPROTO_ICMP ? REFUSED_ICMP : REFUSED_PROTOCOL;
	if (bpf_ntohl(ip->saddr) >= FIRST_MULTICAST) /* no host's: a whitelist of nobody names the last of them */
		return REFUSED_MALFORMED;
	if (ip->ttl <= 1)
		return REFUSED_TTL;

	packet->tuple.source = ip->saddr;
	packet->tuple.destination = ip->daddr;
	packet->tuple.vpc_protocol = vpc << 8 | ip->protocol;
	packet->transport = (struct transport){.protocol = ip->protocol, .network = sizeof(struct iphdr)};
	packet->slot = 0;
	__builtin_memcpy(packet->sender, eth->h_source, ETH_ALEN);
	__u32 total = bpf_ntohs(ip->tot_len), payload = total > sizeof(*ip) ? total - sizeof(*ip) : 0;
	enum counter reason = read_transport(skb, L4_OFFSET, payload, &packet->transport);
	packet->tuple.source_port = packet->transport.source_port;
	packet->tuple.destination_port = packet->transport.destination_port;
	return reason;
}

static __always_inline __u32 hash_tuple(const struct tuple *tuple)
{
	__u32 ports = (__u32)tuple->source_port << 16 | tuple->destination_port;

	return hash3(tuple->source, tuple->destination,
		     hash3(ports, tuple->vpc_protocol >> 8, tuple->vpc_protocol & 0xff));
}

static __always_inline bool same(const struct tuple *one, const struct tuple *two)
{
	const __u64 *a = (const void *)one, *b = (const void *)two;

	return a[0] == b[0] && a[1] == b[1];
}

static __always_inline __be32 source_address(__be32 leased)
{
	return leased;
}

static __always_inline __be32 narrow(const struct address *address)
{
	return address->word[3];
}

/* Makes the packet what it is on the other side; its length stays. */
static __always_inline enum counter rewrite(struct __sk_buff *skb, const struct transport *transport,
					    const struct route *route, const struct vpc *out)
{
	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + IP_OFFSET;
	struct udphdr *udp = data + L4_OFFSET;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return REFUSED_MALFORMED;
	__builtin_memcpy(eth->h_dest, route->next_hop, ETH_ALEN);
	__builtin_memcpy(eth->h_source, out->mac, ETH_ALEN);
	ip->saddr = route->other.destination;
	ip->daddr = route->other.source;
	ip->ttl--;
	ip->check = ~fold((__u64)(__u16)~ip->check + route->address_sum + (__u16)~TTL_STEP); /* RFC 1624 */
	udp->source = route->other.destination_port;
	udp->dest = route->other.source_port;
	return adjust_checksum(skb, L4_OFFSET, transport->protocol, route->address_sum, route->port_sum);
}

#endif
