/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Errors of ICMPv6, as icmp.h has those of ICMP: RFC 4443. */
#ifndef SIDEGATE_ICMP6_H
#define SIDEGATE_ICMP6_H

#include "answer.h"

#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define ICMP6_PARAMETER 4
#define SHORTEST_ERROR6 (sizeof(struct icmp6_header) + sizeof(struct quote6))
#define ERROR_LENGTH6 (sizeof(struct icmp_error6) - offsetof(struct icmp_error6, eth))

/* The checksum's part that no header shows. */
static __always_inline __u64 pseudo_sum6(const struct ipv6hdr *ip)
{
	return (__u64)sum_of(&ip->saddr, 2 * sizeof(ip->saddr)) + ip->payload_len + bpf_htons(IPPROTO_ICMPV6);
}

static __always_inline bool read_error6(struct __sk_buff *skb, struct desk *desk)
{
	struct ipv6hdr *outer = &desk->error6.ip;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, outer, sizeof(*outer)))
		return false;
	__u32 length = bpf_ntohs(outer->payload_len);
	barrier_var(length);
	if (length < SHORTEST_ERROR6 || length > sizeof(desk->body))
		return false;
	for (__u32 at = 0; at < sizeof(desk->body); at += sizeof(__u64))
		*(volatile __u64 *)(desk->body + at) = 0;
	if (bpf_skb_load_bytes(skb, L4_OFFSET6, desk->body, length))
		return false;
	__u32 sum = 0;
	for (__u32 at = 0; at < sizeof(desk->body); at += BODY_CHUNK)
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(desk->body + at), BODY_CHUNK, sum);
	return fold(pseudo_sum6(outer) + sum) == 0xffff;
}

static __always_inline void translate_quote6(struct quote6 *quote, const struct session6 *session)
{
	*(struct address *)&quote->ip.saddr = session->other.source;
	*(struct address *)&quote->ip.daddr = session->other.destination;
	quote->source_port = session->other.source_port;
	quote->destination_port = session->other.destination_port;
	if (quote->ip.nexthdr == IPPROTO_UDP) {
		__u64 sum = (__u64)(__u16)~quote->udp_check + session->flow.address_sum + session->flow.port_sum;
		__u16 check = ~fold(sum);

		quote->udp_check = check ? check : 0xffff;
	}
}

/* `rest` is an MTU or a pointer. Whose length is told there otherwise (RFC 4884) stays behind. */
static __always_inline void write_icmp6(struct icmp_error6 *error, __u8 type, __u8 code, __be32 rest)
{
	error->icmp = (struct icmp6_header){.type = type, .code = code};
	if (type == ICMP6_TOO_BIG || type == ICMP6_PARAMETER)
		error->icmp.rest = rest;
	error->icmp.checksum = ~fold(pseudo_sum6(&error->ip) + sum_of(&error->icmp, SHORTEST_ERROR6));
}

static __always_inline __u32 find_quoted6(struct desk *desk, const struct quote6 *quote, __u32 number)
{
	struct tuple6 key = {
		.source = *(const struct address *)&quote->ip.daddr,
		.destination = *(const struct address *)&quote->ip.saddr,
		.source_port = quote->destination_port,
		.destination_port = quote->source_port,
		.vpc_protocol = number << 8 | quote->ip.nexthdr,
	};
	struct session6 *entry = bpf_map_lookup_elem(&sessions6, &key);

	if (!entry || !copy_entry6(entry, &key, &desk->session6))
		return 0;
	__u32 found = desk->session6.flow.slot;
	struct slot slot = read_slot(found);
	if (desk->session6.flow.epoch != slot.epoch || (slot.draining && is_drained(found)))
		return 0;
	return look_again6(entry, &key, slot.allow_version) == FORWARDED ? found : 0;
}

__noinline int translate_error6(struct __sk_buff *skb, __u32 number)
{
	struct desk *desk = find_desk();

	if (!desk || !read_error6(skb, desk))
		return refuse(REFUSED_ICMP);
	struct icmp_error6 *error = &desk->error6;
	const struct icmp6_header *icmp = (void *)desk->body;
	error->quote = *(struct quote6 *)(icmp + 1);
	const struct quote6 *quote = &error->quote;
	if (icmp->type < ICMP6_UNREACHABLE || icmp->type > ICMP6_PARAMETER || quote->ip.version != 6 ||
	    !same_address((const void *)&error->ip.daddr, (const void *)&quote->ip.saddr))
		return refuse(REFUSED_ICMP);
	if (error->ip.hop_limit <= 1)
		return refuse(REFUSED_TTL);
	__u32 slot = find_quoted6(desk, quote, number);
	if (!slot || !may_answer(slot))
		return refuse_for(slot, REFUSED_ICMP);

	const struct session6 *session = &desk->session6;
	__u32 vpc = session->other.vpc_protocol >> 8;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(slot, REFUSED_NO_DEVICE);
	__builtin_memcpy(error->eth.h_dest, session->flow.next_hop, ETH_ALEN);
	__builtin_memcpy(error->eth.h_source, out->mac, ETH_ALEN);
	error->eth.h_proto = bpf_htons(ETH_P_IPV6);
	write_ip6(&error->ip, session->other.destination, session->other.source, IPPROTO_ICMPV6,
		  error->ip.hop_limit - 1, SHORTEST_ERROR6);
	translate_quote6(&error->quote, session);
	write_icmp6(error, icmp->type, icmp->code, icmp->rest);
	if (!replace_packet(skb, &error->eth, ERROR_LENGTH6))
		return refuse_for(slot, REFUSED_ICMP);
	count(ICMP_FORWARDED);
	return leave(skb, out);
}

__noinline int answer_too_long6(struct __sk_buff *skb, __u32 slot, __u32 mtu)
{
	struct desk *desk = find_desk();

	if (!desk || !slot || !may_answer(slot))
		return refuse_for(slot, REFUSED_TOO_LONG);
	struct icmp_error6 *error = &desk->error6;
	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_source), error->eth.h_dest, ETH_ALEN) ||
	    bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_dest), error->eth.h_source, ETH_ALEN) ||
	    bpf_skb_load_bytes(skb, IP_OFFSET, &error->quote, sizeof(error->quote)))
		return refuse_for(slot, REFUSED_TOO_LONG);
	error->eth.h_proto = bpf_htons(ETH_P_IPV6);
	write_ip6(&error->ip, *(struct address *)&error->quote.ip.daddr, *(struct address *)&error->quote.ip.saddr,
		  IPPROTO_ICMPV6, TTL, SHORTEST_ERROR6);
	write_icmp6(error, ICMP6_TOO_BIG, 0, bpf_htonl(mtu));
	refuse_for(slot, REFUSED_TOO_LONG);
	if (!replace_packet(skb, &error->eth, ERROR_LENGTH6))
		return TC_ACT_SHOT;
	count(ICMP_SENT);
	return bpf_redirect(skb->ingress_ifindex, 0);
}

/* What is no packet of a session by its own header; neighbour discovery does not come here. */
static __always_inline int carry_other6(struct __sk_buff *skb, __u32 number, __u32 reason)
{
	return reason == REFUSED_ICMP ? translate_error6(skb, number) : refuse(reason);
}

#endif
