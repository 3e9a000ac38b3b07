/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The path of a packet of one family. Included once for each, as session.h is. */

static __always_inline int FN(carry)(struct __sk_buff *skb, __u32 number, struct FN(packet) *packet,
				      struct FN(route) *route)
{
	enum counter reason = FN(read_packet)(skb, number, packet);

	if (reason != FORWARDED)
		return refuse(reason);
	reason = FN(follow)(skb, packet, route);
	if (reason == REFUSED_NO_SESSION && opens(&packet->transport)) {
		reason = FN(ask_and_open)(packet);
		if (reason == FORWARDED)
			reason = FN(follow)(skb, packet, route);
	}
	if (reason != FORWARDED)
		return refuse_for(packet->slot, reason);

	__u32 vpc = route->other.vpc_protocol >> 8;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(packet->slot, REFUSED_NO_DEVICE);
	if (out->mtu && too_long(skb, &packet->transport, out->mtu))
		return refuse_for(packet->slot, REFUSED_TOO_LONG);
	reason = FN(rewrite)(skb, &packet->transport, route, out);
	return reason == FORWARDED ? send(skb, out) : refuse_for(packet->slot, reason);
}
