/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/* Every frame to the AF_XDP socket of its RX queue; to the kernel's stack where there is none. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_QUEUES 64

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} SOCKETS SEC(".maps");

SEC("xdp")
int redirect(struct xdp_md *context)
{
	return bpf_redirect_map(&SOCKETS, context->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
