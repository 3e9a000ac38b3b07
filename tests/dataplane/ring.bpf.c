/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Copies each frame into a ring buffer; says whether there was room. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("tc")
int copy(struct __sk_buff *skb)
{
	__u32 mark = 0;

	if (bpf_skb_load_bytes(skb, 14, &mark, sizeof(mark)))
		return 2;
	return bpf_ringbuf_output(&ring, &mark, sizeof(mark), 0) ? 2 : 0;
}

char _license[] SEC("license") = "GPL";
