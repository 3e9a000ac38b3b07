/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading and rewriting the headers of one IPv4 packet. */
#ifndef SIDEGATE_PACKET_H
#define SIDEGATE_PACKET_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define FIRST_MULTICAST 0xe0000000 /* 224.0.0.0 */
#define IP_OFFSET ETH_HLEN
#define L4_OFFSET (IP_OFFSET + sizeof(struct iphdr))
#define IP_MORE_FRAGMENTS_OR_OFFSET 0x3fff
#define TTL_STEP bpf_htons(0x0100) /* one hop, as it lies in the 16-bit word {ttl, protocol} */

struct packet {
	struct tuple tuple;
	__u8 sender[ETH_ALEN];
	bool syn, ack, fin, rst;
	__u8 transport_header; /* bytes */
};

/* Where a packet goes, once a session says so. */
struct route {
	struct tuple other; /* see struct session */
	__u8 next_hop[ETH_ALEN];
};

/* Direct access reaches only the linear part of an skb; brings `length` bytes into it. */
static __always_inline bool pull(struct __sk_buff *skb, __u32 length)
{
	if ((void *)(long)skb->data + length <= (void *)(long)skb->data_end)
		return true;
	return bpf_skb_pull_data(skb, length) == 0;
}

/*
 * Ports and flags of the transport header. FORWARDED stands for: nothing to object to.
 * A GSO packet can be longer than tot_len is able to say (BIG TCP sets it to 0), so its length is not compared.
 */
static __always_inline enum counter read_transport(struct __sk_buff *skb, __u32 total_length, struct packet *packet)
{
	__u32 length = packet->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (!skb->gso_size && total_length < sizeof(struct iphdr) + length)
		return REFUSED_MALFORMED;
	if (!pull(skb, L4_OFFSET + length))
		return REFUSED_MALFORMED;

	void *end = (void *)(long)skb->data_end;
	struct udphdr *udp = (void *)(long)skb->data + L4_OFFSET;
	if ((void *)(udp + 1) > end)
		return REFUSED_MALFORMED;
	packet->tuple.source_port = udp->source; /* TCP has its ports in the same place */
	packet->tuple.destination_port = udp->dest;
	packet->transport_header = sizeof(*udp);
	if (packet->tuple.protocol == IPPROTO_UDP)
		return FORWARDED;

	struct tcphdr *tcp = (void *)udp;
	if ((void *)(tcp + 1) > end || tcp->doff < sizeof(struct tcphdr) / 4)
		return REFUSED_MALFORMED;
	packet->transport_header = tcp->doff * 4;
	packet->syn = tcp->syn;
	packet->ack = tcp->ack;
	packet->fin = tcp->fin;
	packet->rst = tcp->rst;
	return FORWARDED;
}

static __always_inline enum counter read_packet(struct __sk_buff *skb, __u32 vpc, struct packet *packet)
{
	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return REFUSED_NOT_FOR_US;
	if (!pull(skb, L4_OFFSET))
		return REFUSED_MALFORMED;

	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + IP_OFFSET;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->version != 4 || ip->ihl < 5)
		return REFUSED_MALFORMED;
	if (ip->ihl > 5)
		return REFUSED_OPTIONS;
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS_OR_OFFSET))
		return REFUSED_FRAGMENT;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return REFUSED_PROTOCOL;
	if (bpf_ntohl(ip->saddr) >= FIRST_MULTICAST) /* no host's: a whitelist of nobody names the last of them */
		return REFUSED_MALFORMED;
	if (ip->ttl <= 1)
		return REFUSED_TTL;

	*packet = (struct packet){
		.tuple = {.source = ip->saddr, .destination = ip->daddr, .vpc = vpc, .protocol = ip->protocol},
	};
	__builtin_memcpy(packet->sender, eth->h_source, ETH_ALEN);
	return read_transport(skb, bpf_ntohs(ip->tot_len), packet);
}

/*
 * Whether the device would have to cut the packet, which the kernel leaves to the sender and drops unseen. A GSO packet
 * is cut on its way out, into its headers with gso_size bytes each.
 */
static __always_inline bool too_long(const struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 headers = sizeof(struct iphdr) + packet->transport_header;

	return (skb->gso_size ? headers + skb->gso_size : skb->len - ETH_HLEN) > mtu;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* A hop less and other addresses, with the header checksum brought up to date (RFC 1624). */
static __always_inline void rewrite_ip(struct iphdr *ip, __be32 source, __be32 destination)
{
	__be32 before[] = {ip->saddr, ip->daddr};
	__be32 after[] = {source, destination};
	__u32 sum = fold(bpf_csum_diff(before, sizeof(before), after, sizeof(after), (__u16)~ip->check));

	ip->saddr = source;
	ip->daddr = destination;
	ip->ttl--;
	ip->check = ~fold(sum + (__u16)~TTL_STEP);
}

/*
 * Makes `packet` what it is on the other side. Packets pointers are worthless after bpf_l4_csum_replace(), so the
 * checksum comes last; with BPF_F_PSEUDO_HDR it is right for CHECKSUM_PARTIAL (TSO and checksum offload) as well.
 */
static __always_inline enum counter rewrite(struct __sk_buff *skb, const struct packet *packet,
					    const struct route *route, const struct vpc *out)
{
	const struct tuple *from = &packet->tuple, *back = &route->other;
	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + IP_OFFSET;
	struct udphdr *udp = data + L4_OFFSET;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return REFUSED_MALFORMED;
	__builtin_memcpy(eth->h_dest, route->next_hop, ETH_ALEN);
	__builtin_memcpy(eth->h_source, out->mac, ETH_ALEN);
	rewrite_ip(ip, back->destination, back->source);
	udp->source = back->destination_port;
	udp->dest = back->source_port;

	__be32 addresses_before[] = {from->source, from->destination};
	__be32 addresses_after[] = {back->destination, back->source};
	__be16 ports_before[] = {from->source_port, from->destination_port};
	__be16 ports_after[] = {back->destination_port, back->source_port};
	__s64 addresses = bpf_csum_diff(addresses_before, 8, addresses_after, 8, 0);
	__s64 ports = bpf_csum_diff((__be32 *)ports_before, 4, (__be32 *)ports_after, 4, 0);
	bool tcp = from->protocol == IPPROTO_TCP;
	__u32 check = L4_OFFSET + (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0; /* leaves a UDP checksum of 0 ("none") alone, and makes none */
	if (bpf_l4_csum_replace(skb, check, 0, addresses, BPF_F_PSEUDO_HDR | flags) ||
	    bpf_l4_csum_replace(skb, check, 0, ports, flags))
		return REFUSED_MALFORMED;
	return FORWARDED;
}

#endif
