/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What sessions must know of IPv6: session.h is included behind it. */
#ifndef SIDEGATE_IPV6_H
#define SIDEGATE_IPV6_H

#include "packet.h"

static __always_inline struct address read_address6(const struct in6_addr *address)
{
	return *(const struct address *)address;
}

static __always_inline bool is_extension(__u8 next_header)
{
	return next_header == NEXT_HEADER_HOP_BY_HOP || next_header == NEXT_HEADER_ROUTING ||
	       next_header == NEXT_HEADER_DESTINATION;
}

static __always_inline enum counter read_packet6(struct __sk_buff *skb, __u32 vpc, struct packet6 *packet)
{
	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return REFUSED_NOT_FOR_US;
	if (!pull(skb, L4_OFFSET6 + sizeof(struct udphdr)))
		return REFUSED_MALFORMED;

	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + IP_OFFSET;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->version != 6)
		return REFUSED_MALFORMED;
	if (is_extension(ip->nexthdr))
		return REFUSED_OPTIONS;
	if (ip->nexthdr == NEXT_HEADER_FRAGMENT)
		return REFUSED_FRAGMENT;
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP)
		return ip->nexthdr == IPPROTO_ICMPV6 ? REFUSED_ICMP : REFUSED_PROTOCOL;
	if (ip->saddr.s6_addr[0] == 0xff) /* multicast is no host's */
		return REFUSED_MALFORMED;
	if (ip->hop_limit <= 1)
		return REFUSED_TTL;

	packet->tuple.source = read_address6(&ip->saddr);
	packet->tuple.destination = read_address6(&ip->daddr);
	packet->tuple.vpc_protocol = vpc << 8 | ip->nexthdr;
	packet->transport = (struct transport){.protocol = ip->nexthdr, .network = sizeof(struct ipv6hdr)};
	packet->slot = 0;
	__builtin_memcpy(packet->sender, eth->h_source, ETH_ALEN);
	enum counter reason = read_transport(skb, L4_OFFSET6, bpf_ntohs(ip->payload_len), &packet->transport);
	packet->tuple.source_port = packet->transport.source_port;
	packet->tuple.destination_port = packet->transport.destination_port;
	return reason;
}

static __always_inline __u32 hash_tuple6(const struct tuple6 *tuple)
{
	__u32 ports = (__u32)tuple->source_port << 16 | tuple->destination_port;

	return hash3(hash_address(&tuple->source), hash_address(&tuple->destination),
		     hash3(ports, tuple->vpc_protocol >> 8, tuple->vpc_protocol & 0xff));
}

static __always_inline bool same6(const struct tuple6 *one, const struct tuple6 *two)
{
	const __u64 *a = (const void *)one, *b = (const void *)two;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

static __always_inline struct address source_address6(__be32 leased)
{
	return (struct address){.word = {SOURCE_PREFIX6_0, SOURCE_PREFIX6_1, 0, leased}};
}

static __always_inline struct address widen6(struct address address)
{
	return address;
}

static __always_inline struct address narrow6(const struct address *address)
{
	return *address;
}

static __always_inline enum counter rewrite6(struct __sk_buff *skb, const struct transport *transport,
					     const struct route6 *route, const struct vpc *out)
{
	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + IP_OFFSET;
	struct udphdr *udp = data + L4_OFFSET6;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return REFUSED_MALFORMED;
	__builtin_memcpy(eth->h_dest, route->next_hop, ETH_ALEN);
	__builtin_memcpy(eth->h_source, out->mac, ETH_ALEN);
	*(struct address *)&ip->saddr = route->other.destination;
	*(struct address *)&ip->daddr = route->other.source;
	ip->hop_limit--;
	udp->source = route->other.destination_port;
	udp->dest = route->other.source_port;
	return adjust_checksum(skb, L4_OFFSET6, transport->protocol, route->address_sum, route->port_sum);
}

#endif
