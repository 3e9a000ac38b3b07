/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * tc ingress at the end of a benchmark's way: generated packets end here, unseen by any stack. UDP to the benchmark's
 * port is dropped; so is TCP, but a SYN, which is answered by a SYN-ACK as a server's. All else passes. clsact counts
 * what is dropped.
 */
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT bpf_htons(9000)	/* FLOOD_PORT in stage.py */
#define SERVER_SEQUENCE 1000	/* as packets.c has it */
#define WORDS (sizeof(struct tcphdr) - offsetof(struct tcphdr, seq) - 8)

static __always_inline int answer(struct __sk_buff *skb, struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp)
{
	__be32 before[3], after[3], address = ip->saddr;
	__be16 port = tcp->source;
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(before, &tcp->seq, WORDS);
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = bpf_htonl(SERVER_SEQUENCE);
	tcp->ack = 1;
	__builtin_memcpy(after, &tcp->seq, WORDS);
	__u32 sum = bpf_csum_diff(before, WORDS, after, WORDS, (__u16)~tcp->check);
	sum = (sum & 0xffff) + (sum >> 16);
	tcp->check = ~(sum + (sum >> 16));

	/* Turned round, addresses and ports have the same sum. */
	ip->saddr = ip->daddr;
	ip->daddr = address;
	tcp->source = tcp->dest;
	tcp->dest = port;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return bpf_redirect(skb->ifindex, 0);
}

SEC("tc")
int far_end(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (ip->protocol == IPPROTO_UDP)
		return udp->dest == PORT ? TC_ACT_SHOT : TC_ACT_OK;
	if (ip->protocol != IPPROTO_TCP || (void *)(tcp + 1) > end || (tcp->dest != PORT && tcp->source != PORT))
		return TC_ACT_OK;
	return tcp->syn && !tcp->ack ? answer(skb, eth, ip, tcp) : TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";
