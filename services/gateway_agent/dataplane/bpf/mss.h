/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Holding connections to segments that both devices carry: only packets with SYN are looked at. */
#ifndef SIDEGATE_MSS_H
#define SIDEGATE_MSS_H

#include "packet.h"

#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_MSS 2
#define MSS_LENGTH 4
#define MOST_OPTION_BYTES 40
#define LONGEST_HEADER 63 /* bytes; 60, as a mask */

struct mss_option {
	__u8 kind;
	__u8 length;
	__u8 value[2];
};

/* A checksum adds words of 16 bits, and an option may begin in the middle of one. */
static __always_inline __u32 word_of(__u16 value, bool odd)
{
	return odd ? __builtin_bswap16(value) : value;
}

static __always_inline void lower_mss(struct __sk_buff *skb, __u32 transport, __u32 at, __be16 before, __be16 after)
{
	__u32 check = transport + offsetof(struct tcphdr, check), value = at + offsetof(struct mss_option, value);

	if (!bpf_skb_store_bytes(skb, transport + value, &after, sizeof(after), 0))
		bpf_l4_csum_replace(skb, check, word_of(before, at & 1), word_of(after, at & 1), sizeof(after));
}

/* Lowers the MSS that a SYN tells, if it is more than `most`. An option that is cut short ends the list. */
__noinline int clamp_mss(struct __sk_buff *skb, __u32 transport, __u32 header, __u32 most)
{
	__u32 at = sizeof(struct tcphdr);

	for (int option = 0; option < MOST_OPTION_BYTES; option++) {
		struct mss_option found;

		if (at + MSS_LENGTH > header || bpf_skb_load_bytes(skb, transport + at, &found, sizeof(found)))
			return 0;
		__u32 length = found.kind == OPTION_NOTHING ? 1 : found.length;
		if (found.kind == OPTION_END || !length)
			return 0;
		if (found.kind == OPTION_MSS) {
			__u32 told = (__u32)found.value[0] << 8 | found.value[1];

			if (length == MSS_LENGTH && told > most)
				lower_mss(skb, transport, at, bpf_htons(told), bpf_htons(most));
			return 0;
		}
		if (at + length > header)
			return 0;
		at = (at + length) & LONGEST_HEADER; /* which it is below anyway: the verifier wants few states */
	}
	return 0;
}

static __always_inline __u32 shorter(__u32 one, __u32 other)
{
	return !one || (other && other < one) ? other : one;
}

/* As both devices carry it; one whose MTU is not known does not count. */
static __always_inline void clamp(struct __sk_buff *skb, const struct transport *transport, __u32 number,
				  const struct vpc *out)
{
	struct vpc *in = bpf_map_lookup_elem(&vpcs, &number);
	__u32 headers = transport->network + sizeof(struct tcphdr);
	__u32 mtu = shorter(in ? in->mtu : 0, out->mtu);

	if (mtu > headers)
		clamp_mss(skb, ETH_HLEN + transport->network, transport->header, mtu - headers);
}

#endif
