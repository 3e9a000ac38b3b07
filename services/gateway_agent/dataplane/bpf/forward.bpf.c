/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sidegate's forwarding: tc ingress on every device that faces a VPC, full NAT for TCP and UDP over IPv4.
 *
 * Fails closed: whatever is not a packet of an open session, or one that the table lets open a session, or ARP for an
 * address of ours, is dropped and counted. docs/design/dataplane.md tells the path of a packet and the invariants.
 */
#include <stdbool.h>
#include <stddef.h>

#include "maps.h"
#include "packet.h"
#include "session.h"

static __always_inline int refuse(enum counter reason)
{
	count(reason);
	return TC_ACT_SHOT;
}

#include "arp.h"

static __always_inline int send(struct __sk_buff *skb, const struct vpc *out)
{
	count(FORWARDED);
	/* A hairpin leaves where it came in: the peer's ingress is in the sender's own namespace, its egress is not. */
	if ((out->flags & VPC_LOCAL_PEER) && out->ifindex != skb->ingress_ifindex)
		return bpf_redirect_peer(out->ifindex, 0);
	return bpf_redirect(out->ifindex, 0);
}

static __always_inline int forward_ipv4(struct __sk_buff *skb, __u32 number)
{
	struct packet packet = {};
	struct route route = {};
	enum counter reason = read_packet(skb, number, &packet);

	if (reason != FORWARDED)
		return refuse(reason);
	reason = follow_session(&packet, &route);
	if (reason == REFUSED_NO_SESSION && opens(&packet))
		reason = open_session(&packet, &route);
	if (reason != FORWARDED)
		return refuse(reason);

	struct vpc *out = bpf_map_lookup_elem(&vpcs, &route.other.vpc);
	if (!out || !out->ifindex)
		return refuse(REFUSED_NO_DEVICE);
	if (out->mtu && too_long(skb, &packet, out->mtu))
		return refuse(REFUSED_TOO_LONG);
	reason = rewrite(skb, &packet, &route, out);
	return reason == FORWARDED ? send(skb, out) : refuse(reason);
}

SEC("tc")
int forward(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ingress_ifindex;
	__u32 *number = bpf_map_lookup_elem(&devices, &ifindex);
	struct vpc *vpc = number ? bpf_map_lookup_elem(&vpcs, number) : NULL;

	if (!vpc || vpc->ifindex != ifindex)
		return refuse(REFUSED_NOT_ATTACHED);
	if (skb->vlan_present)
		return refuse(REFUSED_PROTOCOL);
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return forward_ipv4(skb, *number);
	case bpf_htons(ETH_P_ARP):
		return answer_arp(skb, *number, vpc);
	default:
		return refuse(REFUSED_PROTOCOL);
	}
}

char _sources[] SEC("sources") = SOURCES; /* the hash of what this was built from */
char _license[] SEC("license") = "GPL";
