/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The path of a packet of one family. Included once for each, as session.h is. */

static __always_inline int FN(carry)(struct __sk_buff *skb, __u32 number, struct FN(packet) *packet,
				      struct FN(route) *route)
{
	enum counter reason = FN(read_packet)(skb, number, packet);

	if (reason != FORWARDED)
		return FN(carry_other)(skb, number, reason);
	reason = FN(let_in)(skb, packet, route);
	if (reason == REFUSED_NO_SESSION)
		return FN(answer_stray)(skb, packet);
	if (reason != FORWARDED)
		return refuse_for(packet->slot, reason);

	__u32 vpc = route->other.vpc_protocol >> 8;
	struct vpc *out = bpf_map_lookup_elem(&vpcs, &vpc);
	if (!out || !out->ifindex)
		return refuse_for(packet->slot, REFUSED_NO_DEVICE);
	if (packet->transport.flags & SYN && !FN(introduce)(skb, packet, true))
		return refuse_for(packet->slot, REFUSED_MALFORMED);
	if (limits(out) && too_long(skb, &packet->transport, out->mtu))
		return FN(answer_too_long)(skb, packet->slot, out->mtu);
	if (packet->transport.flags & SYN)
		clamp(skb, &packet->transport, number, out);
	reason = FN(rewrite)(skb, &packet->transport, route, out);
	if (reason != FORWARDED)
		return refuse_for(packet->slot, reason);
	count(FORWARDED);
	return leave(skb, out);
}
