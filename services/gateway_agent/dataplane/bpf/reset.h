/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Telling ends of a TCP connection whose session is no more, where a service asks for it. Included once for each family,
 * as session.h is.
 */

/* Whose a packet of no session is, and whether its sender may learn anything from us. */
static __always_inline bool FN(find_addressee)(struct desk *desk, const struct FN(packet) *packet, struct owner *owner)
{
	struct client *client = &desk->client;
	struct endpoint *endpoint = &desk->grant.endpoint;
	struct owner_key key = {.vpc = packet->tuple.vpc_protocol >> 8};
	struct slot slot = {};
	__u32 version;

	client->source = FN(widen)(packet->tuple.source);
	client->destination = FN(widen)(packet->tuple.destination);
	client->destination_port = packet->tuple.destination_port;
	client->protocol = packet->transport.protocol;
	client->vpc = key.vpc;
	if (copy_endpoint(client, &desk->grant, &slot) == FORWARDED) {
		*owner = (struct owner){.slot = endpoint->slot, .service = endpoint->service};
		return !is_spoofed(client) && admit(client, owner->slot, &version) == FORWARDED;
	}
	if (bpf_ntohs(packet->tuple.destination_port) < FIRST_SOURCE_PORT) /* the agent's own connections to backends */
		return false;
	key.source = client->destination.word[3];
	struct owner *found = bpf_map_lookup_elem(&source_owners, &key);
	struct address source = FN(widen)(FN(source_address)(key.source));
	if (!found || !same_address(&source, &client->destination))
		return false;
	*owner = *found;
	return !is_spoofed(client);
}

static __always_inline bool FN(reset)(struct __sk_buff *skb, struct desk *desk, const struct FN(packet) *packet)
{
	const struct transport *transport = &packet->transport;
	struct FN(reset_frame) *frame = &desk->FN(reset);
	struct tcphdr came;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, &frame->ip, sizeof(frame->ip)) ||
	    bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_dest), frame->eth.h_source, ETH_ALEN) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + transport->network, &came, sizeof(came)))
		return false;
	__builtin_memcpy(frame->eth.h_dest, packet->sender, ETH_ALEN);
	frame->eth.h_proto = skb->protocol;
	write_reset(&frame->tcp, &came, transport->flags, FN(payload_of)(&frame->ip) - transport->header);
	FN(write_ip)(&frame->ip, packet->tuple.destination, packet->tuple.source, IPPROTO_TCP, TTL,
		     sizeof(frame->tcp));
	frame->tcp.check = ~fold((__u64)sum_of(&frame->ip.saddr, 2 * sizeof(packet->tuple.source)) +
				 sum_of(&frame->tcp, sizeof(frame->tcp)) + bpf_htons(IPPROTO_TCP) +
				 bpf_htons(sizeof(frame->tcp)));
	return replace_packet(skb, &frame->eth, sizeof(*frame) - offsetof(struct FN(reset_frame), eth));
}

/* What belongs to no session is refused, and its sender told so if all that is needed for it holds. */
__noinline int FN(answer_stray)(struct __sk_buff *skb, struct FN(packet) *packet)
{
	struct desk *desk = find_desk();
	struct owner owner = {};

	if (!desk || !packet)
		return refuse(REFUSED_NO_SESSION);
	bool may_learn = FN(find_addressee)(desk, packet, &owner);
	refuse_for(owner.slot, REFUSED_NO_SESSION);
	if (!may_learn || packet->transport.protocol != IPPROTO_TCP || packet->transport.flags & (SYN | RST) ||
	    !asks_for_resets(owner.service) || !may_answer(owner.slot) || !FN(reset)(skb, desk, packet))
		return TC_ACT_SHOT;
	count(RESET_SENT);
	return bpf_redirect(skb->ingress_ifindex, 0);
}
