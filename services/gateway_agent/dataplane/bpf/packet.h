/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Reading the headers of one packet, and rewriting them. */
#ifndef SIDEGATE_PACKET_H
#define SIDEGATE_PACKET_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "hash.h"
#include "session_maps.h"

#define IP_OFFSET ETH_HLEN
#define L4_OFFSET (IP_OFFSET + sizeof(struct iphdr))
#define L4_OFFSET6 (IP_OFFSET + sizeof(struct ipv6hdr))
#define IP_MORE_FRAGMENTS_OR_OFFSET 0x3fff
#define IP_DONT_FRAGMENT 0x4000
#define TTL_STEP bpf_htons(0x0100) /* one hop, as it lies in the 16-bit word {ttl, protocol} */
#define NEXT_HEADER_FRAGMENT 44
#define NEXT_HEADER_HOP_BY_HOP 0
#define NEXT_HEADER_ROUTING 43
#define NEXT_HEADER_DESTINATION 60

/* fd73:6964:6567:6174::/96: an IPv6 source address ends with the leased IPv4 address. */
#define SOURCE_PREFIX6_0 bpf_htonl(0xfd736964)
#define SOURCE_PREFIX6_1 bpf_htonl(0x65676174)

#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16

/* What is known of a packet's transport, whatever its family. */
struct transport {
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 flags;   /* of TCP */
	__u8 header;  /* bytes, as it says itself */
	__u8 network; /* bytes of the header before it */
};

struct packet {
	struct tuple tuple;
	struct transport transport;
	__u32 slot; /* of the endpoint that it belongs to, as soon as that is known; 0 is none */
	__u8 sender[ETH_ALEN];
};

struct packet6 {
	struct tuple6 tuple;
	struct transport transport;
	__u32 slot;
	__u8 sender[ETH_ALEN];
};

/* Where a packet goes, once a session says so. */
struct route {
	struct tuple other; /* see struct session */
	__u32 address_sum;
	__u32 port_sum;
	__u8 next_hop[ETH_ALEN];
};

struct route6 {
	struct tuple6 other;
	__u32 address_sum;
	__u32 port_sum;
	__u8 next_hop[ETH_ALEN];
};

/* Direct access reaches only the linear part of an skb; brings `length` bytes into it. */
static __always_inline bool pull(struct __sk_buff *skb, __u32 length)
{
	if ((void *)(long)skb->data + length <= (void *)(long)skb->data_end)
		return true;
	return bpf_skb_pull_data(skb, length) == 0;
}

static __always_inline struct address widen(__be32 address)
{
	return (struct address){.word = {0, 0, MAPPED, address}};
}

static __always_inline bool is_mapped(const struct address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == MAPPED;
}

/*
 * Ports and flags. FORWARDED stands for: nothing to object to. A GSO packet can be longer than its header is able to say
 * (BIG TCP sets it to 0), so its length is not compared. Pulls what it reads: packet pointers are worthless afterwards.
 */
static __always_inline enum counter read_transport(struct __sk_buff *skb, __u32 offset, __u32 payload,
						   struct transport *transport)
{
	bool is_tcp = transport->protocol == IPPROTO_TCP;
	__u32 length = is_tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (!skb->gso_size && (payload < length || offset + payload > skb->len))
		return REFUSED_MALFORMED;
	if (!pull(skb, offset + length))
		return REFUSED_MALFORMED;

	void *end = (void *)(long)skb->data_end;
	struct udphdr *udp = (void *)(long)skb->data + offset;
	if ((void *)(udp + 1) > end)
		return REFUSED_MALFORMED;
	transport->source_port = udp->source; /* TCP has its ports in the same place */
	transport->destination_port = udp->dest;
	transport->header = sizeof(*udp);
	if (!is_tcp)
		return FORWARDED;

	struct tcphdr *tcp = (void *)udp;
	if ((void *)(tcp + 1) > end || tcp->doff < sizeof(struct tcphdr) / 4)
		return REFUSED_MALFORMED;
	transport->header = tcp->doff * 4;
	transport->flags = ((__u8 *)tcp)[13];
	return FORWARDED;
}

static __always_inline bool is_pure_syn(const struct transport *transport)
{
	return (transport->flags & (FIN | SYN | RST | ACK)) == SYN;
}

/* Whether somebody's stack may take it for the beginning of a connection: some do, whatever is beside SYN. */
static __always_inline bool asks_for_connection(const struct transport *transport)
{
	return (transport->flags & (SYN | ACK)) == SYN;
}

/* A TCP session begins with a pure SYN, a UDP session with any packet. */
static __always_inline bool opens(const struct transport *transport)
{
	return transport->protocol == IPPROTO_UDP || is_pure_syn(transport);
}

/* Whether packets leave by the device itself, and it is known how long they may be. */
static __always_inline bool limits(const struct vpc *out)
{
	return out->mtu && !(out->flags & VPC_LOCAL_PEER);
}

/*
 * Whether the device would have to cut the packet, which the kernel leaves to the sender and drops unseen. A GSO packet
 * is cut on its way out, into its headers with gso_size bytes each.
 */
static __always_inline bool too_long(const struct __sk_buff *skb, const struct transport *transport, __u32 mtu)
{
	__u32 headers = transport->network + transport->header;

	return (skb->gso_size ? headers + skb->gso_size : skb->len - ETH_HLEN) > mtu;
}

/* As many packets as it is on a wire, and their bytes. */
static __always_inline __u32 packets_of(const struct __sk_buff *skb)
{
	return skb->gso_segs > 1 ? skb->gso_segs : 1;
}

static __always_inline __u64 bytes_of(const struct __sk_buff *skb, const struct transport *transport, __u32 packets)
{
	return skb->len - ETH_HLEN + (__u64)(packets - 1) * (transport->network + transport->header);
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* What it adds to a checksum that words become others; in line, for a call costs more than the sum. */
static __always_inline __u32 checksum_difference(const void *before, const void *after, __u32 words)
{
	const __be32 *was = before, *is = after;
	__u64 sum = 0;

	for (__u32 word = 0; word < words; word++)
		sum += (__u64)is[word] + (__u32)~was[word];
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + (sum >> 32);
}

#ifdef READS_SKB

/* Of linux/skbuff.h: libbpf finds out where the running kernel has the field. */
struct sk_buff {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *context) __ksym; /* becomes a move, not a call */

#define CHECKSUM_COMPLETE 2
#define CHECKSUM_PARTIAL 3
#define CHECKSUM_MANGLED_0 0xffff /* of UDP: 0 says that there is none */

/*
 * Calls are what a packet costs where the kernel mitigates speculation, so the checksum is put right here but for
 * CHECKSUM_COMPLETE, where the kernel has a sum of its own to keep.
 */
static __always_inline bool adjust_in_place(struct __sk_buff *skb, __u32 check, bool tcp, __u32 address_sum,
					    __u32 port_sum)
{
	struct sk_buff *kernels = bpf_cast_to_kern_ctx(skb);
	__u8 kind = BPF_CORE_READ_BITFIELD(kernels, ip_summed);
	__u16 *sum = (void *)(long)skb->data + check;

	if (kind == CHECKSUM_COMPLETE || (void *)(sum + 1) > (void *)(long)skb->data_end)
		return false;
	if (!tcp && !*sum)
		return true;
	if (kind == CHECKSUM_PARTIAL) /* only the addresses are in it yet, not turned over */
		*sum = fold((__u64)*sum + address_sum);
	else
		*sum = ~fold((__u64)(__u16)~*sum + address_sum + port_sum);
	if (!tcp && !*sum)
		*sum = CHECKSUM_MANGLED_0;
	return true;
}

#endif

/*
 * Brings the transport's checksum up to date by what sessions keep of it. With BPF_F_PSEUDO_HDR it is right for
 * CHECKSUM_PARTIAL (TSO and checksum offload) as well, where only the addresses are in it yet. Packet pointers are
 * worthless afterwards.
 */
static __always_inline enum counter adjust_checksum(struct __sk_buff *skb, __u32 offset, __u8 protocol, __u32 address_sum,
						    __u32 port_sum)
{
	bool tcp = protocol == IPPROTO_TCP;
	__u32 check = offset + (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0; /* leaves a UDP checksum of 0 ("none") alone, and makes none */

#ifdef READS_SKB
	if (adjust_in_place(skb, check, tcp, address_sum, port_sum))
		return FORWARDED;
#endif
	if (bpf_l4_csum_replace(skb, check, 0, address_sum, BPF_F_PSEUDO_HDR | flags) ||
	    bpf_l4_csum_replace(skb, check, 0, port_sum, flags))
		return REFUSED_MALFORMED;
	return FORWARDED;
}

#endif
