/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets that the program writes itself, in place of one that came. */
#ifndef SIDEGATE_ANSWER_H
#define SIDEGATE_ANSWER_H

#include "flow_log.h"

#define TTL 64
#define CONTROL_TOS 0xc0 /* internetwork control, RFC 1812 */
#define ANSWERS_PER_SECOND 1000 /* of each endpoint */
#define ANSWERS_BURST (NANOSECONDS / 20)
#define SURPLUS 60 /* more than the longest headers of what came: see replace_packet() */

/* When an endpoint's allowance for answers and errors will be whole again: see conforms(). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32); /* slot */
	__type(value, __u64);
} answers SEC(".maps");

static __always_inline bool may_answer(__u32 slot)
{
	__u64 *at = bpf_map_lookup_elem(&answers, &slot);

	return at && conforms(at, NANOSECONDS / ANSWERS_PER_SECOND, ANSWERS_BURST);
}

/*
 * Puts the desk's frame in the place of the packet. Changing its length takes segmentation away; its checksum may still be
 * left to the device (CHECKSUM_PARTIAL), and the kernel forgets that only where the bytes that it begins at are cut off.
 * So the packet is made longer than wanted by more than its headers, and loses as much at its front.
 */
static __always_inline bool replace_packet(struct __sk_buff *skb, const void *frame, __u32 length)
{
	return !bpf_skb_change_tail(skb, length + SURPLUS, 0) &&
	       !bpf_skb_adjust_room(skb, -SURPLUS, BPF_ADJ_ROOM_MAC, 0) &&
	       !bpf_skb_store_bytes(skb, 0, frame, length, BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
}

static __always_inline __u16 sum_of(const void *data, __u32 length)
{
	return fold((__u32)bpf_csum_diff(NULL, 0, (void *)data, length, 0));
}

/* `length` is of what follows the header. */
static __always_inline void write_ip(struct iphdr *ip, __be32 source, __be32 destination, __u8 protocol, __u8 ttl,
				     __u16 length)
{
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = protocol == IPPROTO_ICMP ? CONTROL_TOS : 0,
		.tot_len = bpf_htons(sizeof(*ip) + length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = ttl,
		.protocol = protocol,
		.saddr = source,
		.daddr = destination,
	};
	ip->check = ~sum_of(ip, sizeof(*ip));
}

static __always_inline void write_ip6(struct ipv6hdr *ip, struct address source, struct address destination,
				      __u8 protocol, __u8 hop_limit, __u16 length)
{
	*ip = (struct ipv6hdr){
		.version = 6, .payload_len = bpf_htons(length), .nexthdr = protocol, .hop_limit = hop_limit};
	*(struct address *)&ip->saddr = source;
	*(struct address *)&ip->daddr = destination;
}

/* Bytes of what follows the header, as it says itself. */
static __always_inline __u32 payload_of(const struct iphdr *ip)
{
	return bpf_ntohs(ip->tot_len) - sizeof(*ip);
}

static __always_inline __u32 payload_of6(const struct ipv6hdr *ip)
{
	return bpf_ntohs(ip->payload_len);
}

static __always_inline bool asks_for_resets(__u32 number)
{
	const struct settings *settings = find_settings(number, read_service(number).version);

	return settings && settings->flags & RESET_EXPIRED;
}

/* RFC 9293, 3.5.2: a reset that its receiver accepts. `data` is the segment's payload in bytes. */
static __always_inline void write_reset(struct tcphdr *reset, const struct tcphdr *from, __u8 flags, __u32 data)
{
	*reset = (struct tcphdr){.source = from->dest, .dest = from->source, .doff = sizeof(*reset) / 4, .rst = 1};
	if (flags & ACK) {
		reset->seq = from->ack_seq;
		return;
	}
	reset->ack = 1;
	reset->ack_seq = bpf_htonl(bpf_ntohl(from->seq) + data + !!(flags & FIN));
}

#endif
