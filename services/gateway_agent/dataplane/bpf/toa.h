/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * TOA: telling a backend who the client is, by a TCP option on the SYN that opens the connection. Only SYNs of sessions to
 * such ports are looked at.
 *
 * A client may write such an option too, or hide ours behind an end of the list or an option that lies about its length.
 * So the list is written anew: what is of this kind, and all from where it cannot be read on, becomes "no operation".
 */
#ifndef SIDEGATE_TOA_H
#define SIDEGATE_TOA_H

#include "flow_log.h"
#include "mss.h"

#define OPTION_TOA 254
#define TOA_LENGTH 8   /* kind, length, port, IPv4 address */
#define TOA_LENGTH6 20 /* with an IPv6 address */
#define TOA_ADDRESS 4  /* where the address begins */

/* Where it has got to lies on the desk, so that the verifier does not follow all that options may be. */
static __always_inline void rewrite_options(struct toa *toa, __u32 length)
{
	volatile struct reading *reading = &toa->reading;

	reading->length = length;
	reading->until = 0;
	reading->erase = false;
	reading->unreadable = false;
	for (__u32 at = 0; at < MOST_OPTION_BYTES; at++) {
		__u8 kind = toa->before[at], size = at + 1 < reading->length ? toa->before[at + 1] : 0;

		if (at == reading->until && !reading->unreadable) {
			__u32 until = kind == OPTION_NOTHING ? at + 1 : at + size;

			reading->until = until;
			reading->erase = kind == OPTION_TOA;
			if (kind == OPTION_END || (kind != OPTION_NOTHING && size < 2) || until > reading->length)
				reading->unreadable = true;
		}
		toa->after[at] = reading->erase || reading->unreadable ? OPTION_NOTHING : kind;
	}
}

static __always_inline __u32 ip_length(struct __sk_buff *skb, __u32 network)
{
	bool is_ipv4 = network == sizeof(struct iphdr);
	__u32 at = is_ipv4 ? offsetof(struct iphdr, tot_len) : offsetof(struct ipv6hdr, payload_len);
	__be16 length = 0;

	bpf_skb_load_bytes(skb, IP_OFFSET + at, &length, sizeof(length));
	return bpf_ntohs(length) + (is_ipv4 ? 0 : network);
}

/* The lengths that the packet tells of itself, and the checksums over them. */
static __always_inline void lengthen_ip(struct __sk_buff *skb, __u32 network, __u32 before, __u32 after)
{
	__be16 was, is;

	if (network == sizeof(struct iphdr)) {
		was = bpf_htons(before);
		is = bpf_htons(after);
		bpf_l3_csum_replace(skb, IP_OFFSET + offsetof(struct iphdr, check), was, is, sizeof(is));
		bpf_skb_store_bytes(skb, IP_OFFSET + offsetof(struct iphdr, tot_len), &is, sizeof(is), 0);
	} else {
		is = bpf_htons(after - network);
		bpf_skb_store_bytes(skb, IP_OFFSET + offsetof(struct ipv6hdr, payload_len), &is, sizeof(is), 0);
	}
	was = bpf_htons(before - network);
	is = bpf_htons(after - network);
	bpf_l4_csum_replace(skb, ETH_HLEN + network + offsetof(struct tcphdr, check), was, is,
			    BPF_F_PSEUDO_HDR | sizeof(is));
}

static __always_inline void lengthen_tcp(struct __sk_buff *skb, __u32 transport, __u32 added)
{
	__u32 at = transport + 12; /* data offset and flags are one word of the checksum */
	__u8 words[2] = {};
	__be16 was, is;

	bpf_skb_load_bytes(skb, at, words, sizeof(words));
	__builtin_memcpy(&was, words, sizeof(was));
	words[0] += added / 4 << 4;
	__builtin_memcpy(&is, words, sizeof(is));
	bpf_skb_store_bytes(skb, at, words, sizeof(words), 0);
	bpf_l4_csum_replace(skb, transport + offsetof(struct tcphdr, check), was, is, sizeof(is));
}

/*
 * Writes the options of a SYN anew, with the desk's option behind them if it may grow and has room for it: a SYN with data
 * has none, for the data would have to move. `header` is TCP's length, `network` that of the one before it; answers what
 * TCP's is then, or 0 if the packet is not what it says.
 */
__noinline int write_toa(struct __sk_buff *skb, __u32 network, __u32 header, bool may_grow)
{
	struct desk *desk = find_desk();
	__u32 transport = ETH_HLEN + network, options = header - sizeof(struct tcphdr);
	__u32 added = network == sizeof(struct iphdr) ? TOA_LENGTH : TOA_LENGTH6;

	__u32 whole = ip_length(skb, network);

	if (!desk || options > MOST_OPTION_BYTES || whole < network + header)
		return 0;
	struct toa *toa = &desk->toa;
	barrier_var(options);
	if (options && options <= MOST_OPTION_BYTES &&
	    bpf_skb_load_bytes(skb, transport + sizeof(struct tcphdr), toa->before, options))
		return 0;
	rewrite_options(toa, options);
	if (!may_grow || whole != network + header || options + added > MOST_OPTION_BYTES)
		added = 0;
	else if (bpf_skb_change_tail(skb, ETH_HLEN + whole + added, 0))
		return 0;
	count(added ? TOA_ADDED : TOA_LEFT_OUT);
	__u32 written = options + added;
	barrier_var(written);
	if (!written || written > MOST_OPTION_BYTES)
		return header;
	for (__u32 at = 0; at < TOA_LENGTH6; at += sizeof(__be32)) {
		if (at < added && options + at <= MOST_OPTION_BYTES - sizeof(__be32))
			*(__be32 *)(toa->after + options + at) = *(__be32 *)(toa->option + at);
	}
	__s64 sum = bpf_csum_diff((__be32 *)toa->before, options, (__be32 *)toa->after, written, 0);
	if (sum < 0 || bpf_skb_store_bytes(skb, transport + sizeof(struct tcphdr), toa->after, written, 0))
		return 0;
	bpf_l4_csum_replace(skb, transport + offsetof(struct tcphdr, check), 0, sum, 0);
	if (added) {
		lengthen_tcp(skb, transport, added);
		lengthen_ip(skb, network, whole, whole + added);
	}
	return header + added;
}

#endif
