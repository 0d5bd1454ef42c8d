"""Golden matrices of GPTQ and AWQ (fixtures/packed): what AutoGPTQ packs, and what AutoGPTQ and AutoAWQ unpack.

Needs torch, numpy, transformers, safetensors, and two source files, neither of which has to be installed:
    python make_packed_golden.py auto_gptq-0.7.1/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py \
        autoawq-0.2.9/awq/utils/packing_utils.py fixtures/packed/golden.safetensors
"""

import importlib.util
import sys

import torch
from safetensors.torch import save_file

INPUTS, OUTPUTS, GROUP = 64, 32, 32


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quantize(weight, bits):
    """Integers [O, I], and scales and zeros [O, G]."""
    grouped = weight.view(OUTPUTS, INPUTS // GROUP, GROUP)
    low, high = grouped.amin(-1), grouped.amax(-1)
    top = 2**bits - 1
    scales = ((high - low) / top).half().float()
    zeros = torch.clamp(torch.round(-low / scales), 1, top)
    each = lambda x: x.repeat_interleave(GROUP, 1)
    integers = torch.clamp(torch.round(weight / each(scales) + each(zeros)), 0, top)
    return integers, scales, zeros


def gptq(module, weight, bits, groups_of_inputs=None):
    integers, scales, zeros = quantize(weight, bits)
    linear = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    linear.weight.data = (integers - zeros.repeat_interleave(GROUP, 1)) * scales.repeat_interleave(GROUP, 1)
    packed = module.QuantLinear(bits, GROUP, INPUTS, OUTPUTS, False)
    packed.pack(linear, scales.clone(), zeros.clone(), None)
    stored = packed.scales.half()
    # As its forward has it where no CUDA extension is there.
    wide = torch.int16 if bits == 8 else torch.int8
    own_zeros = torch.bitwise_right_shift(packed.qzeros[:, :, None].expand(-1, -1, 32 // bits), packed.wf.unsqueeze(0)).to(wide)
    own_zeros = torch.bitwise_and(own_zeros + 1, 2**bits - 1).reshape(-1, OUTPUTS)
    own = torch.bitwise_right_shift(packed.qweight[:, None].expand(-1, 32 // bits, -1), packed.wf.unsqueeze(-1)).to(wide)
    own = torch.bitwise_and(own, 2**bits - 1).reshape(INPUTS, OUTPUTS)
    groups = torch.arange(INPUTS) // GROUP if groups_of_inputs is None else groups_of_inputs
    unpacked = stored[groups] * (own - own_zeros[groups])
    out = {"qweight": packed.qweight, "qzeros": packed.qzeros, "scales": stored, "weight": unpacked.t()}
    return out if groups_of_inputs is None else {**out, "g_idx": groups.int()}


def awq(module, weight):
    integers, scales, zeros = quantize(weight, 4)

    def pack(x):
        words = torch.zeros(x.shape[0], x.shape[1] // 8, dtype=torch.int64)
        for place, output in enumerate(module.AWQ_ORDER):
            words |= x[:, output::8].long() << (4 * place)
        return torch.where(words >= 2**31, words - 2**32, words).int()

    qweight, qzeros, stored = pack(integers.t()), pack(zeros.t()), scales.t().half()
    unpacked = module.dequantize_gemm(qweight, qzeros, stored, 4, GROUP)
    return {"qweight": qweight, "qzeros": qzeros, "scales": stored, "weight": unpacked.t()}


torch.manual_seed(0)
gptq_module, awq_module = load("gptq", sys.argv[1]), load("awq", sys.argv[2])
weight = torch.randn(OUTPUTS, INPUTS) / 8
cases = {f"gptq{bits}": gptq(gptq_module, weight, bits) for bits in (2, 4, 8)}
cases["listed"] = gptq(gptq_module, weight, 4, torch.randint(0, INPUTS // GROUP, [INPUTS]))
cases["awq"] = awq(awq_module, weight)
tensors = {f"{name}.{part}": value.contiguous() for name, case in cases.items() for part, value in case.items()}
for name in ("gptq4", "gptq8", "awq"):
    print(name, "is off the matrix by at most", (tensors[f"{name}.weight"].float() - weight).abs().max().item())
save_file(tensors, sys.argv[3])
