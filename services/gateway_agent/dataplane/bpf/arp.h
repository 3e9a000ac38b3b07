/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Answering for endpoint addresses and for the source range, so that no address of ours exists in the kernel. */
#ifndef SIDEGATE_ARP_H
#define SIDEGATE_ARP_H

#include "packet.h"

#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_packet { /* RFC 826 for IPv4 over Ethernet */
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));
_Static_assert(sizeof(struct arp_packet) == 28, "as on the wire");

static __always_inline bool is_ours(__u32 vpc, __be32 address)
{
	struct address wide = widen(address);

	return (address & SOURCE_RANGE_MASK) == SOURCE_RANGE || is_endpoints(vpc, &wide);
}

static __always_inline int answer_arp(struct __sk_buff *skb, __u32 number, const struct vpc *vpc)
{
	if (!pull(skb, ETH_HLEN + sizeof(struct arp_packet)))
		return refuse(REFUSED_MALFORMED);
	struct ethhdr *eth = (void *)(long)skb->data;
	struct arp_packet *arp = (void *)(eth + 1);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return refuse(REFUSED_MALFORMED);
	if (arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(__be32))
		return refuse(REFUSED_MALFORMED);

	bool announcement = arp->sender == arp->target;
	if (arp->operation == bpf_htons(ARP_REPLY) || announcement) {
		count(ARP_PASSED); /* the agent's packet socket learns from it; the device itself has ARP off */
		return TC_ACT_OK;
	}
	if (arp->operation != bpf_htons(ARP_REQUEST) || !is_ours(number, arp->target))
		return refuse(REFUSED_ARP);

	__be32 asked = arp->target;
	arp->operation = bpf_htons(ARP_REPLY);
	arp->target = arp->sender;
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	arp->sender = asked;
	__builtin_memcpy(arp->sender_mac, vpc->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, vpc->mac, ETH_ALEN);
	count(ARP_ANSWERED);
	return bpf_redirect(skb->ingress_ifindex, 0);
}

#endif
