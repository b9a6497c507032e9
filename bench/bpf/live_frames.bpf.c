/* SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0 */
/*
 * Receives and transmits for the null forwarder that sends without a socket.
 *
 * Attached to an interface it does what redirect.bpf.c does: every frame to the AF_XDP socket of its RX queue.
 * Run by BPF_PROG_TEST_RUN with live frames it sends: each run writes the next frame of a worker's batch over
 * the page it was given and redirects it to the driver of an interface. User space maps the batches and writes
 * them between two calls; the page's first bytes are the call's input, which tells the worker.
 *
 * One program does both because the kernel waits for an RCU grace period, tens of milliseconds, when a test run
 * brings a program that no interface has.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_QUEUES 64

/* A test run without a context comes from the loopback interface, which has this index in every namespace. */
#define LOOPBACK_IFINDEX 1

/* Two directions of 64 frames. */
#define BATCH_FRAMES 128

/* Within what a live frame's page holds: 4096 less its description, the headroom and the room for fragments. */
#define FRAME_BYTES 3392
#define MIN_FRAME_BYTES 14

/* One frame; `len` becomes 0 when it was given to its interface. */
struct slot {
	__u32 ifindex;
	__u32 len;
	__u8 bytes[FRAME_BYTES];
};

/* A worker's frames of one call, and the slot of its next run. */
struct batch {
	__u64 next;
	struct slot slots[BATCH_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} SOCKETS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct batch);
} BATCHES SEC(".maps");

/* Writes a slot's frame over the context's. Returns 0, or the error. */
static __always_inline long fill(struct xdp_md *context, const struct slot *slot)
{
	__u32 len = slot->len;
	long error;

	if (len < MIN_FRAME_BYTES || len > FRAME_BYTES)
		return -1;
	error = bpf_xdp_adjust_tail(context, (int)len - (int)bpf_xdp_get_buff_len(context));
	if (error)
		return error;
	return bpf_xdp_store_bytes(context, 0, (void *)slot->bytes, len);
}

static __always_inline int transmit(struct xdp_md *context)
{
	__u32 *worker = (__u32 *)(long)context->data;
	struct batch *batch;
	struct slot *slot;
	__u32 index;
	__u64 place;

	if ((void *)(worker + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	index = *worker;
	batch = bpf_map_lookup_elem(&BATCHES, &index);
	if (!batch)
		return XDP_ABORTED;
	place = batch->next++;
	if (place >= BATCH_FRAMES)
		return XDP_ABORTED;
	slot = &batch->slots[place];
	if (fill(context, slot))
		return XDP_ABORTED;
	slot->len = 0;
	return bpf_redirect(slot->ifindex, 0);
}

SEC("xdp")
int live_frames(struct xdp_md *context)
{
	if (context->ingress_ifindex == LOOPBACK_IFINDEX)
		return transmit(context);
	return bpf_redirect_map(&SOCKETS, context->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
