"""The actions that energy is counted in, and what one of each is.

A table of `hwconfigs/energy` gives the energy of one action and its source; the energy of a run is the sum of counts
times energy, and of power that always flows times the run's time.
"""

ACTIONS: dict[str, str] = {
    "tensor_mac_fp16": "a multiply-accumulate of fp16 operands on a tensor core, operands delivered from registers",
    "tensor_mac_bf16": "likewise, bf16",
    "tensor_mac_tf32": "likewise, tf32",
    "tensor_mac_fp32": "likewise, fp32",
    "tensor_mac_int8": "likewise, int8 with int32 accumulation",
    "sparse_tensor_mac_fp16": "likewise on a sparse tensor core, with one of the kept weights of 2:4, fp16",
    "sparse_tensor_mac_bf16": "likewise, bf16",
    "sparse_tensor_mac_tf32": "likewise, tf32",
    "sparse_tensor_mac_int8": "likewise, int8",
    "cuda_mac_fp32": "an fp32 multiply-accumulate without tensor cores",
    "cuda_mac_fp16": "likewise, fp16",
    "cuda_mac_bf16": "likewise, bf16",
    "cuda_mac_tf32": "likewise, tf32",
    "cuda_mac_int8": "likewise, int8",
    "cuda_flop": "one operation of an element-wise kernel",
    "shared_byte": "a byte written to or read from shared memory",
    "l2_byte": "a byte between L2 and an SM",
    "dram_byte": "a byte between DRAM and the chip",
    "bit_product": "a product of two single bits and its addition (a 16 x 16 multiplier does 256)",
    "buffer_byte": "a byte written to or read from a buffer of the attention unit",
    "softmax_element": "one element through the softmax unit",
    "sparsity_block": "one 2 x 2 block through the sparsity engine",
    "threshold_score": "a score that joins its row's extremes and mean and is compared with its threshold",
    "dot_product_cycle": "a cycle in which a dot-product module of the attention unit holds a query",
    "exponent_cycle": "likewise, a module of exponents",
    "weighted_sum_cycle": "likewise, a module that weighs rows of V, its divider included",
    "candidate_cycle": "likewise, a module that selects candidates among sorted keys",
    "post_scoring_cycle": "likewise, a module that drops keys by their scores",
    "sorted_key_cycle": "a cycle in which the buffer of sorted keys is read",
    "host_comparison": "a comparison of two numbers as the host sorts keys",
    "mask_element": "one predicted score compared with a threshold, and its place in the mask",
    "compared_activation": "an activation compared with a magnitude below which it becomes zero",
    "packing_cycle": "a cycle in which a lane's masks are met and its effectual products are packed",
    "mask_byte": "a byte of mask bits written to or read from the buffer of masks",
    "top_k_comparison": "a comparison of a number with the pivot in a top-k engine",
    "importance_addition": "a number added to what a token or a head has received so far",
    "link_byte": "a byte over the link between GPU and attention unit",
}

STATIC: dict[str, str] = {
    "board_idle": "what the board draws with nothing running",
    "leakage": "what leaks from the unit while it is powered",
}
