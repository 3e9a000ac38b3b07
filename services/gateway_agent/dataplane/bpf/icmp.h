/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Errors of ICMP: those about a session's packets are translated as the packets are, and one is made where a packet is too
 * long. An error is written anew and quotes no more than eight bytes of transport: what routers add (RFC 4884) would tell
 * of the network that it comes from.
 */
#ifndef SIDEGATE_ICMP_H
#define SIDEGATE_ICMP_H

#include "answer.h"
#include "fragment.h"

#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER 12
#define ICMP_TOO_LONG 4 /* a code of "unreachable": fragmentation is needed */
#define LAST_UNREACHABLE_CODE 15
#define SHORTEST_ERROR (sizeof(struct icmp_header) + sizeof(struct quote))
#define ERROR_LENGTH (sizeof(struct icmp_error) - offsetof(struct icmp_error, eth))

static __always_inline bool is_error(const struct icmp_header *icmp)
{
	return icmp->type == ICMP_TIME_EXCEEDED || icmp->type == ICMP_PARAMETER ||
	       (icmp->type == ICMP_UNREACHABLE && icmp->code <= LAST_UNREACHABLE_CODE);
}

/* All of the error, into the desk; false if its checksum is wrong, for the translated one's will be right. */
static __always_inline bool read_error(struct __sk_buff *skb, struct desk *desk)
{
	struct iphdr *outer = &desk->error.ip;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, outer, sizeof(*outer)))
		return false;
	__u32 length = bpf_ntohs(outer->tot_len) - sizeof(*outer);
	barrier_var(length);
	if (length < SHORTEST_ERROR || length > sizeof(desk->body))
		return false;
	for (__u32 at = 0; at < sizeof(desk->body); at += sizeof(__u64))
		*(volatile __u64 *)(desk->body + at) = 0;
	if (bpf_skb_load_bytes(skb, L4_OFFSET, desk->body, length))
		return false;
	__u32 sum = 0;
	for (__u32 at = 0; at < sizeof(desk->body); at += BODY_CHUNK)
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(desk->body + at), BODY_CHUNK, sum);
	return fold(sum) == 0xffff;
}

/* What the quoted packet was on the side that the error goes to. */
static __always_inline void translate_quote(struct quote *quote, const struct session *session)
{
	quote->ip.saddr = session->other.source;
	quote->ip.daddr = session->other.destination;
	quote->ip.check = ~fold((__u64)(__u16)~quote->ip.check + session->flow.address_sum);
	quote->source_port = session->other.source_port;
	quote->destination_port = session->other.destination_port;
	if (quote->ip.protocol == IPPROTO_UDP && quote->udp_check) {
		__u64 sum = (__u64)(__u16)~quote->udp_check + session->flow.address_sum + session->flow.port_sum;
		__u16 check = ~fold(sum);

		quote->udp_check = check ? check : 0xffff;
	}
}

/* Of the ICMP header what every receiver knows, with the checksum of all. */
static __always_inline void write_icmp(struct icmp_error *error, const struct icmp_header *from)
{
	error->icmp = (struct icmp_header){.type = from->type, .code = from->code};
	if (from->type == ICMP_UNREACHABLE && from->code == ICMP_TOO_LONG)
		error->icmp.mtu = from->mtu;
	if (from->type == ICMP_PARAMETER)
		error->icmp.pointer = from->pointer;
	error->icmp.checksum = ~sum_of(&error->icmp, SHORTEST_ERROR);
}

/* The session that the quoted packet came out of, into the desk, if it would pass a packet now; its slot, or 0. */
static __always_inline __u32 find_quoted(struct desk *desk, const struct quote *quote, __u32 number)
{
	struct tuple key = { /* the quoted packet turned round is one of the other direction */
		.source = quote->ip.daddr,
		.destination = quote->ip.saddr,
		.source_port = quote->destination_port,
		.destination_port = quote->source_port,
		.vpc_protocol = number << 8 | quote->ip.protocol,
	};
	struct session *entry = bpf_map_lookup_elem(&sessions, &key);

	if (!entry || !copy_entry(entry, &key, &desk->session))
		return 0;
	__u32 found = desk->session.flow.slot;
	struct slot slot = read_slot(found);
	if (desk->session.flow.epoch != slot.epoch || (slot.draining && is_drained(found)))
		return 0;
	return look_again(entry, &key, slot.allow_version) == FORWARDED ? found : 0;
}

__noinline int translate_error(struct __sk_buff *skb, __u32 number)
{
	struct desk *desk = find_desk();

	if (!desk || !read_error(skb, desk))
		return refuse(REFUSED_ICMP);
	struct icmp_error *error = &desk->error;
	const struct icmp_header *icmp = (void *)desk->body;
	error->quote = *(struct quote *)(icmp + 1);
	const struct quote *quote = &error->quote;
	if (!is_error(icmp) || quote->ip.version != 4 || quote->ip.ihl != 5 ||
	    quote->ip.frag_off & bpf_htons(IP_FRAGMENT_OFFSET) || error->ip.daddr != quote->ip.saddr)
		return refuse(REFUSED_ICMP);
	if (error->ip.ttl <= 1)
		return refuse(REFUSED_TTL);
	__u32 slot = find_quoted(desk, quote, number);
	if (!slot || !may_answer(slot))
		return refuse_for(slot, REFUSED_ICMP);

	const struct session *session = &desk->session;
	__u32 vpc = session->other.vpc_protocol >> 8;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(slot, REFUSED_NO_DEVICE);
	__builtin_memcpy(error->eth.h_dest, session->flow.next_hop, ETH_ALEN);
	__builtin_memcpy(error->eth.h_source, out->mac, ETH_ALEN);
	error->eth.h_proto = bpf_htons(ETH_P_IP);
	write_ip(&error->ip, session->other.destination, session->other.source, IPPROTO_ICMP, error->ip.ttl - 1,
		 SHORTEST_ERROR);
	translate_quote(&error->quote, session);
	write_icmp(error, icmp);
	if (!replace_packet(skb, &error->eth, ERROR_LENGTH))
		return refuse_for(slot, REFUSED_ICMP);
	count(ICMP_FORWARDED);
	return leave(skb, out);
}

/* Tells the sender how long a packet may be; what it has sent is refused all the same. */
__noinline int answer_too_long(struct __sk_buff *skb, __u32 slot, __u32 mtu)
{
	struct desk *desk = find_desk();

	if (!desk || !slot || !may_answer(slot))
		return refuse_for(slot, REFUSED_TOO_LONG);
	struct icmp_error *error = &desk->error;
	struct ethhdr came;
	if (bpf_skb_load_bytes(skb, 0, &came, sizeof(came)) ||
	    bpf_skb_load_bytes(skb, IP_OFFSET, &error->quote, sizeof(error->quote)))
		return refuse_for(slot, REFUSED_TOO_LONG);
	__builtin_memcpy(error->eth.h_dest, came.h_source, ETH_ALEN);
	__builtin_memcpy(error->eth.h_source, came.h_dest, ETH_ALEN);
	error->eth.h_proto = bpf_htons(ETH_P_IP);
	write_ip(&error->ip, error->quote.ip.daddr, error->quote.ip.saddr, IPPROTO_ICMP, TTL, SHORTEST_ERROR);
	struct icmp_header icmp = {.type = ICMP_UNREACHABLE, .code = ICMP_TOO_LONG, .mtu = bpf_htons(mtu)};
	write_icmp(error, &icmp);
	refuse_for(slot, REFUSED_TOO_LONG);
	if (!replace_packet(skb, &error->eth, ERROR_LENGTH))
		return TC_ACT_SHOT;
	count(ICMP_SENT);
	return bpf_redirect(skb->ingress_ifindex, 0);
}

/* What is no packet of a session by its own header. */
static __always_inline int carry_other(struct __sk_buff *skb, __u32 number, __u32 reason)
{
	if (reason == REFUSED_ICMP)
		return translate_error(skb, number);
	return reason == REFUSED_FRAGMENT ? carry_fragment(skb, number) : refuse(reason);
}

#endif
