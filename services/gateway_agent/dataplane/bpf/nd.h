/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Neighbour discovery (RFC 4861): answering for endpoint addresses and for source addresses, as arp.h does for IPv4. */
#ifndef SIDEGATE_ND_H
#define SIDEGATE_ND_H

#include "packet.h"

#define SOLICITATION 135
#define ADVERTISEMENT 136
#define TARGET_LINK_LAYER_ADDRESS 2
#define SOLICITED_AND_OVERRIDE bpf_htonl(0x60000000)
#define OVERRIDE bpf_htonl(0x20000000)
#define ND_HOP_LIMIT 255 /* what a router has passed on is not from a neighbour */

struct nd_message {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags;
	struct address target;
};
_Static_assert(sizeof(struct nd_message) == 24, "as on the wire");

struct advertisement {
	struct nd_message message;
	__u8 option;
	__u8 option_length; /* in units of 8 bytes */
	__u8 mac[ETH_ALEN];
};
_Static_assert(sizeof(struct advertisement) == 32, "as on the wire");

/* What the checksum of ICMPv6 goes over. */
struct checked_advertisement {
	struct address source;
	struct address destination;
	__be32 length;
	__be32 next_header;
	struct advertisement advertisement;
};

#define ADVERTISEMENT_FRAME (L4_OFFSET6 + sizeof(struct advertisement))

static __always_inline bool is_neighbour_discovery(struct __sk_buff *skb)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + IP_OFFSET;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->nexthdr != IPPROTO_ICMPV6)
		return false;
	if (ip->hop_limit != ND_HOP_LIMIT || !pull(skb, L4_OFFSET6 + sizeof(struct nd_message)))
		return false;
	struct nd_message *message = (void *)(long)skb->data + L4_OFFSET6;
	if ((void *)(message + 1) > (void *)(long)skb->data_end || message->code)
		return false;
	return message->type == SOLICITATION || message->type == ADVERTISEMENT;
}

static __always_inline bool is_ours6(__u32 vpc, const struct address *address)
{
	if (address->word[0] == SOURCE_PREFIX6_0 && address->word[1] == SOURCE_PREFIX6_1 && !address->word[2])
		return true;
	return is_endpoints(vpc, address);
}

/* Turns a solicitation into the advertisement that answers it. */
__noinline int answer_nd(struct __sk_buff *skb, __u32 number)
{
	struct vpc *vpc = bpf_map_lookup_elem(&vpcs, &number);
	struct ethhdr *eth = (void *)(long)skb->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct nd_message *message = (void *)(ip + 1);

	if (!vpc || (void *)(message + 1) > (void *)(long)skb->data_end)
		return refuse(REFUSED_MALFORMED);
	if (message->type == ADVERTISEMENT) {
		count(ND_PASSED); /* to the agent's packet socket */
		return TC_ACT_OK;
	}
	struct checked_advertisement said = {
		.source = message->target,
		.destination = read_address6(&ip->saddr),
		.length = bpf_htonl(sizeof(struct advertisement)),
		.next_header = bpf_htonl(IPPROTO_ICMPV6),
		.advertisement.message = {.type = ADVERTISEMENT,
					  .flags = SOLICITED_AND_OVERRIDE,
					  .target = message->target},
		.advertisement.option = TARGET_LINK_LAYER_ADDRESS,
		.advertisement.option_length = 1,
	};
	const __be32 *asker = said.destination.word;
	bool nobody = !asker[0] && !asker[1] && !asker[2] && !asker[3]; /* asks whether the address is free */

	if (!is_ours6(number, &said.source))
		return refuse(REFUSED_ARP);
	if (nobody) {
		said.destination = (struct address){.word = {bpf_htonl(0xff020000), 0, 0, bpf_htonl(1)}};
		said.advertisement.message.flags = OVERRIDE;
	}
	__builtin_memcpy(said.advertisement.mac, vpc->mac, ETH_ALEN);
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&said, sizeof(said), 0);
	said.advertisement.message.checksum = ~fold((__u32)sum);

	if (bpf_skb_change_tail(skb, ADVERTISEMENT_FRAME, 0))
		return refuse(REFUSED_MALFORMED);
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	struct advertisement *answer = (void *)(ip + 1);
	if ((void *)(answer + 1) > (void *)(long)skb->data_end)
		return refuse(REFUSED_MALFORMED);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, vpc->mac, ETH_ALEN);
	*(struct address *)&ip->saddr = said.source;
	*(struct address *)&ip->daddr = said.destination;
	ip->payload_len = bpf_htons(sizeof(*answer));
	ip->hop_limit = ND_HOP_LIMIT;
	*answer = said.advertisement;
	count(ND_ANSWERED);
	return bpf_redirect(skb->ingress_ifindex, 0);
}

#endif
