/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sidegate's forwarding: tc ingress on every device that faces a VPC, full NAT for TCP and UDP.
 *
 * Fails closed: whatever is not a packet of an open session, or one that the table lets open a session, or a question for
 * an address of ours, is dropped and counted. docs/design/dataplane.md tells the path of a packet and the invariants.
 */
#include <stdbool.h>
#include <stddef.h>

#include "answer.h"
#include "ipv4.h"
#include "ipv6.h"
#include "toa.h"

#define FIRST_SOURCE_PORT 1024
#define SOURCE_PORTS (65536 - FIRST_SOURCE_PORT)
#define SOURCE_PORT_CANDIDATES 32
#define EEXIST 17
#define ORPHAN_SECONDS 2

/* What one run of a sweep is told, and tells. */
struct sweep {
	__u32 keys;
	__u32 sessions; /* that were looked at */
	__u32 removed;
	__u32 unused;
	__u64 now; /* nanoseconds of CLOCK_MONOTONIC */
};

static __always_inline int refuse(enum counter reason)
{
	count(reason);
	return TC_ACT_SHOT;
}

static __always_inline int refuse_for(__u32 slot, enum counter reason)
{
	if (slot)
		count_refusal(slot, reason);
	return refuse(reason);
}

static __always_inline int leave(struct __sk_buff *skb, const struct vpc *out)
{
	/* A hairpin leaves where it came in: the peer's ingress is in the sender's own namespace, its egress is not. */
	if ((out->flags & VPC_LOCAL_PEER) && out->ifindex != skb->ingress_ifindex)
		return bpf_redirect_peer(out->ifindex, 0);
	return bpf_redirect(out->ifindex, 0);
}

#define FN(name) name
#include "session.h"
#include "sweep.h"
#include "reset.h"
#include "fragment.h"
#include "icmp.h"
#include "forward.h"
#undef FN
#define FN(name) name##6
#include "session.h"
#include "sweep.h"
#include "reset.h"
#include "icmp6.h"
#include "forward.h"
#undef FN

static __always_inline int forward_ipv4(struct __sk_buff *skb, __u32 number)
{
	struct packet packet = {}; /* all of it: a global function may read it */
	struct route route;

	return carry(skb, number, &packet, &route);
}

#include "nd.h"

/* A function of its own, with its data on the desk: the stack has no room for both families. */
__noinline int forward_ipv6(struct __sk_buff *skb, __u32 number)
{
	struct desk *desk = find_desk();

	if (is_neighbour_discovery(skb))
		return answer_nd(skb, number);
	return desk ? carry6(skb, number, &desk->packet6, &desk->route6) : refuse(REFUSED_NO_SESSION);
}

#include "arp.h"

SEC("tc")
int forward(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ingress_ifindex;
	__u32 *number = bpf_map_lookup_elem(&devices, &ifindex);
	struct vpc *vpc = number && *number ? bpf_map_lookup_elem(&vpcs, number) : NULL;

	if (!vpc || vpc->ifindex != ifindex)
		return refuse(REFUSED_NOT_ATTACHED);
	if (skb->vlan_present)
		return refuse(REFUSED_PROTOCOL);
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return forward_ipv4(skb, *number);
	case bpf_htons(ETH_P_IPV6):
		return forward_ipv6(skb, *number);
	case bpf_htons(ETH_P_ARP):
		return answer_arp(skb, *number, vpc);
	default:
		return refuse(REFUSED_PROTOCOL);
	}
}

char _sources[] SEC("sources") = SOURCES; /* the hash of what this was built from */
char _license[] SEC("license") = "GPL";
