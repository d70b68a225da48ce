# Writes the golden files beside this script: python3 make.py, with the packages autograd 1.9 and numpy.
#
# Every layer is stated here again, in f64, one token at a time, from the papers and not from this project's code:
# linear attention 2006.16236, Hedgehog 2402.04347, retention 2307.08621, Lightning 2401.04658 with MiniMax-01 2501.08313,
# GLA 2312.06635, HGRN2 2404.07904, Mamba-2 2405.21060, DeltaNet 2406.06484 (beta to 2: 2411.12537), Gated DeltaNet
# 2412.06464, SwiGLU 2002.05202, mixture of experts 2006.16668 and 2101.03961, balance by a bias 2408.15664. Gradients
# are autograd's. Neither the build nor the tests need Python; tests/nn/golden_test.cpp reads the files.
import json
import math
import os
import struct

import autograd
import autograd.numpy as np
import numpy

ROWS, LENGTH, HIDDEN = 2, 11, 12
STARTS = numpy.array([[0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 10], [0, 0, 2, 3, 3, 3, 3, 3, 8, 8, 8]], dtype=numpy.int32)
LAYER, LAYERS = 1, 3  # where the layer stands, unless a case says so
MODEL_EPS = 1e-6      # model.rms_norm_eps
CORE_EPS = 1e-5       # of the norm behind a recurrence


# ---- weights: made when first asked for, away from where training starts

class Weights:
    def __init__(self, key):
        self.rng, self.values = numpy.random.default_rng(key), {}

    def __call__(self, name, *shape, around=0.0, spread=0.4):
        if name not in self.values:
            self.values[name] = around + spread * self.rng.standard_normal(shape)
        assert self.values[name].shape == shape, name
        return self.values[name]


class Traced:  # the same calls on the values that autograd follows
    def __init__(self, values):
        self.values = values

    def __call__(self, name, *shape, **_):
        return self.values[name]


# ---- elementary functions

def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.logaddexp(0.0, x)


def log_sigmoid(x):
    return -softplus(-x)


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def l2_norm(x):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + 1e-6)


# ---- parts

def project(w, name, x, width, bias=False):
    y = x @ w(name + ".weight", width, x.shape[-1]).T
    return y + w(name + ".bias", width, spread=0.5) if bias else y


def short_conv(w, name, x, bias=False):
    taps = 4
    weight = w(name + ".weight", x.shape[-1], taps)
    rows = []
    for b in range(ROWS):
        tokens = []
        for t in range(LENGTH):
            z = w(name + ".bias", x.shape[-1], spread=0.5) if bias else 0.0
            for i in range(taps):
                s = t - (taps - 1) + i
                if s >= STARTS[b, t]:
                    z = z + weight[:, i] * x[b, s]
            tokens.append(silu(z))
        rows.append(np.stack(tokens))
    return np.stack(rows)


def heads(x, count):
    return np.reshape(x, (ROWS, LENGTH, count, x.shape[-1] // count))


def merge(x):
    return np.reshape(x, (ROWS, LENGTH, x.shape[2] * x.shape[3]))


def rope(x, theta):
    half = x.shape[-1] // 2
    position = numpy.arange(LENGTH)[None, :] - STARTS
    angle = position[:, :, None, None] * theta ** (-2.0 * numpy.arange(half) / x.shape[-1])
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * numpy.cos(angle) - b * numpy.sin(angle), b * numpy.cos(angle) + a * numpy.sin(angle)], -1)


def qkv(w, o, x, activation):
    out = []
    for name, size in (("q", "head_k_dim"), ("k", "head_k_dim"), ("v", "head_v_dim")):
        y = project(w, name + "_proj", x, o["num_heads"] * o[size])
        y = short_conv(w, name + "_conv1d", y) if o["short_conv"] else activation(y)
        out.append(heads(y, o["num_heads"]))
    return out


def scan(q, k, v, scale, a=None, beta=None):
    """S = a S + k v^T, or with beta S = (I - beta k k^T) a S + beta k v^T; o = S^T (scale q). a [B,T,H,1 or K]."""
    rows = []
    for b in range(ROWS):
        tokens = []
        for t in range(LENGTH):
            if t == STARTS[b, t]:
                state = np.zeros((q.shape[2], q.shape[3], v.shape[3]))
            if a is not None:
                state = a[b, t][:, :, None] * state
            write = v[b, t]
            if beta is not None:
                write = beta[b, t][:, None] * (write - np.einsum("hkv,hk->hv", state, k[b, t]))
            state = state + k[b, t][:, :, None] * write[:, None, :]
            tokens.append(np.einsum("hkv,hk->hv", state, scale * q[b, t]))
        rows.append(np.stack(tokens))
    return np.stack(rows)


def output(w, o, read, x):
    count, size = read.shape[2:]
    if o["output_norm"] == "per_head":
        read = rms_norm(read, w("o_norm.weight", size, around=1.0, spread=0.3), CORE_EPS)
    y = merge(read)
    if o["output_norm"] == "merged":
        y = rms_norm(y, w("o_norm.weight", count * size, around=1.0, spread=0.3), CORE_EPS)
    if o["output_gate"] != "none":
        gate = project(w, "g_proj", x, count * size)
        y = y * (silu(gate) if o["output_gate"] == "silu" else sigmoid(gate))
    return project(w, "o_proj", y, HIDDEN)


def time_step(w, x, count):
    dt = softplus(project(w, "dt_proj", x, count) + w("dt_bias", count, around=-0.5, spread=0.5))
    return dt, -np.exp(w("A_log", count, around=-0.3, spread=0.5)) * dt


# ---- mixers

def feature_map(w, name, kind, x):
    if kind == "identity":
        return x
    if kind == "elu_plus_one":
        return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0.0)))
    if kind == "relu":
        return np.maximum(x, 0.0)
    if kind == "squared_relu":
        return np.maximum(x, 0.0) ** 2
    if kind == "softmax":
        return softmax(x)
    size = x.shape[-1]
    y = np.einsum("hoi,bthi->btho", w(name, x.shape[2], size, size, spread=0.6), x)
    return np.concatenate([softmax(y), softmax(-y)], -1)


def linear(w, o, x):
    q, k, v = qkv(w, o, x, lambda y: y)
    q = feature_map(w, "q_feature_map.weight", o["feature_map"], q)
    k = feature_map(w, "k_feature_map.weight", o["feature_map"], k)
    if not o["normalize"]:
        return output(w, o, scan(q, k, v, o["head_k_dim"] ** -0.5), x)
    read = scan(q, k, np.concatenate([v, np.ones(v.shape[:3] + (1,))], -1), 1.0)
    return output(w, o, read[..., :-1] / (read[..., -1:] + 1e-6), x)


def fixed_decay(o, gamma):
    return numpy.broadcast_to(numpy.array(gamma)[:, None], (ROWS, LENGTH, o["num_heads"], 1))


def retention(w, o, x):
    q, k, v = qkv(w, o, x, lambda y: y)
    if o["rope_theta"]:
        q, k = rope(q, o["rope_theta"]), rope(k, o["rope_theta"])
    gamma = [1 - 2.0 ** (-5 - h) for h in range(o["num_heads"])]
    return output(w, o, scan(q, k, v, o["head_k_dim"] ** -0.5, fixed_decay(o, gamma)), x)


def lightning(w, o, x):
    q, k, v = qkv(w, o, x, silu)
    H, l, L = o["num_heads"], LAYER, LAYERS
    if o["slope"] == "geometric":
        slope = [2.0 ** (-8.0 * (h + 1) / H) * (1 - l / (L - 1 + 1e-5) + 1e-5) for h in range(H)]
    else:
        slope = [8.0 * h / H * (1 - l / L) for h in range(H)]
    return output(w, o, scan(q, k, v, 1.0, fixed_decay(o, [math.exp(-s) for s in slope])), x)


def simple_gla(w, o, x):
    q, k, v = qkv(w, o, x, lambda y: y)
    g = log_sigmoid(project(w, "gk_proj", x, o["num_heads"], bias=True)) / o["gate_logit_normalizer"]
    return output(w, o, scan(q, k, v, o["head_k_dim"] ** -0.5, np.exp(g)[..., None]), x)


def gla(w, o, x):
    q, k, v = qkv(w, o, x, lambda y: y)
    low = project(w, "gk_proj.down", x, o["gate_low_rank_dim"])
    logits = project(w, "gk_proj.up", low, o["num_heads"] * o["head_k_dim"], bias=True)
    a = np.exp(log_sigmoid(logits) / o["gate_logit_normalizer"])
    return output(w, o, scan(q, k, v, o["head_k_dim"] ** -0.5, heads(a, o["num_heads"])), x)


def hgrn2(w, o, x):
    H, width = o["num_heads"], o["num_heads"] * o["head_k_dim"]
    q, v = silu(project(w, "q_proj", x, width)), project(w, "i_proj", x, H * o["head_v_dim"])
    forget = sigmoid(project(w, "f_proj", x, width))
    if o["lower_bound"]:
        share = softmax(w("/model.hgrn2_lower_bounds", LAYERS, width, spread=0.7).T).T  # over layers
        bound = np.sum(share[: o["layer"] + 1], axis=0) - share[0]
        forget = bound + (1 - bound) * forget
    a = heads(forget, H)
    return output(w, o, scan(heads(q, H), 1 - a, heads(v, H), o["head_k_dim"] ** -0.5, a), x)


def mamba2(w, o, x):
    H, V, G = o["num_heads"], o["head_v_dim"], o["num_groups"]
    stream = {"x": H * V, "b": G * o["head_k_dim"], "c": G * o["head_k_dim"]}
    xs, b, c = [short_conv(w, n + "_conv1d", project(w, n + "_proj", x, width), bias=True) for n, width in stream.items()]
    z, (dt, g) = project(w, "z_proj", x, H * V), time_step(w, x, H)
    xs = heads(xs, H)
    of_head = [h // (H // G) for h in range(H)]
    k, q = heads(b, G)[:, :, of_head], heads(c, G)[:, :, of_head]
    y = scan(q, k, dt[..., None] * xs, 1.0, np.exp(g)[..., None])
    y = merge(y + w("D", H, around=1.0, spread=0.5)[:, None] * xs) * silu(z)
    y = merge(rms_norm(heads(y, G), np.reshape(w("norm.weight", H * V, around=1.0, spread=0.3), (G, H * V // G)), CORE_EPS))
    return project(w, "out_proj", y, HIDDEN)


def delta_net(w, o, x, gated=False):
    q, k, v = qkv(w, o, x, silu)
    beta = sigmoid(project(w, "b_proj", x, o["num_heads"])) * (2.0 if o["allow_neg_eigval"] else 1.0)
    a = np.exp(time_step(w, x, o["num_heads"])[1])[..., None] if gated else None
    return output(w, o, scan(l2_norm(q), l2_norm(k), v, o["head_k_dim"] ** -0.5, a, beta), x)


def gated_delta_net(w, o, x):
    return delta_net(w, o, x, gated=True)


def attention(w, o, x):
    H = o["num_attention_heads"]
    KV, size = o["num_key_value_heads"] or H, o["head_dim"] or HIDDEN // H
    bias = o["qkv_bias"]
    q, k, v = [heads(project(w, n + "_proj", x, count * size, bias), count) for n, count in (("q", H), ("k", KV), ("v", KV))]
    if o["qk_norm"]:
        q = rms_norm(q, w("q_norm.weight", size, around=1.0, spread=0.3), MODEL_EPS)
        k = rms_norm(k, w("k_norm.weight", size, around=1.0, spread=0.3), MODEL_EPS)
    if o["rope_theta"]:
        q, k = rope(q, o["rope_theta"]), rope(k, o["rope_theta"])
    rows = []
    for b in range(ROWS):
        tokens = []
        for t in range(LENGTH):
            first = max(int(STARTS[b, t]), t + 1 - o["sliding_window"] if o["sliding_window"] else 0)
            read = []
            for h in range(H):
                own = h // (H // KV)
                p = softmax(k[b, first : t + 1, own] @ q[b, t, h] * size ** -0.5)
                read.append(p @ v[b, first : t + 1, own])
            tokens.append(np.concatenate(read))
        rows.append(np.stack(tokens))
    return project(w, "o_proj", np.stack(rows), HIDDEN)


# ---- channel parts

def swiglu(w, prefix, x, width):
    hidden = silu(project(w, prefix + "gate_proj", x, width)) * project(w, prefix + "up_proj", x, width)
    return project(w, prefix + "down_proj", hidden, HIDDEN)


def mlp(w, o, x):
    return swiglu(w, "", x, o["intermediate_size"])


def moe(w, o, x):
    """Returns y, the balance loss and the z loss, both a mean over rows without their coefficients."""
    E, K, F = o["num_experts"], o["num_experts_per_tok"], o["moe_intermediate_size"]
    logits = project(w, "gate", x, E)
    scores = softmax(logits) if o["scoring_func"] == "softmax" else sigmoid(logits)
    shares = scores / np.sum(scores, axis=-1, keepdims=True)
    rank_by = plain(scores)
    if o["balance"] == "bias":
        rank_by = rank_by + plain(w("gate.bias", E, spread=0.3))
    gate, up = (w("experts.%s_proj.weight" % n, E, F, HIDDEN) for n in ("gate", "up"))
    down = w("experts.down_proj.weight", E, HIDDEN, F)
    limit = LENGTH * K
    if o["capacity_factor"] is not None:
        limit = math.ceil(o["capacity_factor"] * K * LENGTH / E)
    rows, counts, dropped = [], numpy.zeros((ROWS, E)), 0
    for b in range(ROWS):
        tokens, taken = [], numpy.zeros(E)
        for t in range(LENGTH):
            order = numpy.argsort(-rank_by[b, t])
            assert K == E or rank_by[b, t, order[K - 1]] - rank_by[b, t, order[K]] > 1e-3, "a tie: take another key"
            chosen = [int(e) for e in order[:K]]
            weight = {e: scores[b, t, e] for e in chosen}
            if o["norm_topk_prob"]:
                total = sum(weight.values())
                weight = {e: s / total for e, s in weight.items()}
            y = np.zeros(HIDDEN)
            for e in chosen:
                counts[b, e] += 1
                if taken[e] >= limit:
                    dropped += 1
                    continue
                taken[e] += 1
                inner = silu(gate[e] @ x[b, t]) * (up[e] @ x[b, t])
                y = y + o["routed_scaling_factor"] * weight[e] * (down[e] @ inner)
            tokens.append(y)
        rows.append(np.stack(tokens))
    assert (dropped > 0) == (o["capacity_factor"] is not None)
    y = np.stack(rows)
    if o["num_shared_experts"]:
        y = y + swiglu(w, "shared_experts.", x, o["num_shared_experts"] * F)
    if o["aux_loss_scope"] == "sequence":
        per_row = E * np.sum(counts / (K * LENGTH) * np.mean(shares, axis=1), axis=1)
        aux = np.mean(per_row)
    else:
        aux = E * np.sum(np.sum(counts, axis=0) / (K * LENGTH * ROWS) * np.mean(shares, axis=(0, 1)))
    most = np.max(logits, axis=-1)
    z = np.mean((most + np.log(np.sum(np.exp(logits - most[..., None]), axis=-1))) ** 2)
    return y, aux if o["balance"] == "aux_loss" else 0.0, z


def plain(x):
    while hasattr(x, "_value"):
        x = x._value
    return x


# ---- cases: options beside the defaults of this table, which are written out in the files

HEADS = {"num_heads": 3, "head_k_dim": 4, "head_v_dim": 5, "short_conv": False, "output_norm": "per_head", "output_gate": "none"}


def cases():
    def case(name, function, defaults, **more):
        all_cases.append((name, function, {**defaults, **more}))

    all_cases = []
    lin = {**HEADS, "feature_map": "identity", "normalize": False}
    case("linear", linear, lin, output_norm="none")
    case("linear_conv", linear, lin, short_conv=True, output_norm="merged", output_gate="sigmoid")
    for kind in ("elu_plus_one", "relu", "squared_relu", "softmax", "hedgehog"):
        case("linear_" + kind, linear, lin, feature_map=kind, output_gate="silu")
        case("linear_%s_normalized" % kind, linear, lin, feature_map=kind, normalize=True, output_norm="none")
    ret = {**HEADS, "rope_theta": 100.0}
    case("retention", retention, ret, output_gate="silu")
    case("retention_conv", retention, ret, short_conv=True, output_norm="none")
    case("retention_no_rope", retention, ret, rope_theta=0.0, output_norm="merged", output_gate="sigmoid")
    lig = {**HEADS, "slope": "geometric"}
    case("lightning", lightning, lig, output_norm="merged", output_gate="sigmoid")
    case("lightning_linear", lightning, lig, slope="linear", output_gate="silu")
    case("lightning_conv", lightning, lig, slope="linear", short_conv=True, output_norm="none")
    sim = {**HEADS, "gate_logit_normalizer": 16.0}
    case("simple_gla", simple_gla, sim, output_gate="silu")
    case("simple_gla_conv", simple_gla, sim, gate_logit_normalizer=3.0, short_conv=True, output_norm="none")
    case("simple_gla_merged", simple_gla, sim, gate_logit_normalizer=2.0, output_norm="merged", output_gate="sigmoid")
    low = {**HEADS, "gate_logit_normalizer": 16.0, "gate_low_rank_dim": 3}
    case("gla", gla, low, output_gate="silu")
    case("gla_conv", gla, low, gate_logit_normalizer=3.0, short_conv=True, output_norm="none")
    case("gla_merged", gla, low, gate_logit_normalizer=2.0, output_norm="merged", output_gate="sigmoid")
    hgr = {k: v for k, v in HEADS.items() if k != "short_conv"} | {"lower_bound": True, "layer": 1}
    case("hgrn2", hgrn2, hgr, output_norm="merged")
    case("hgrn2_last", hgrn2, hgr, layer=2, output_gate="silu")
    case("hgrn2_first", hgrn2, hgr, layer=0, output_norm="merged")
    case("hgrn2_no_bound", hgrn2, hgr, lower_bound=False, output_norm="none", output_gate="sigmoid")
    mam = {"num_heads": 4, "head_k_dim": 3, "head_v_dim": 4, "num_groups": 1}
    case("mamba2", mamba2, mam)
    case("mamba2_groups", mamba2, mam, num_groups=2)
    dlt = {**HEADS, "allow_neg_eigval": False}
    for name, function in (("delta_net", delta_net), ("gated_delta_net", gated_delta_net)):
        case(name, function, dlt, short_conv=True, output_gate="silu" if function is gated_delta_net else "none")
        case(name + "_negative", function, dlt, allow_neg_eigval=True, output_norm="merged", output_gate="sigmoid")
        case(name + "_bare", function, dlt, short_conv=True, output_norm="none",
             output_gate="none" if function is gated_delta_net else "silu")
    att = {"num_attention_heads": 4, "num_key_value_heads": None, "head_dim": None, "rope_theta": 100.0,
           "sliding_window": None, "qkv_bias": False, "qk_norm": False}
    case("attention", attention, att | {"num_attention_heads": 3})
    case("attention_grouped", attention, att, num_key_value_heads=2, head_dim=4, rope_theta=None, qk_norm=True)
    # Without positions and norm a bias of the keys changes no output: its gradient would be rounding alone.
    case("attention_window", attention, att, num_attention_heads=2, sliding_window=3, qkv_bias=True)
    case("attention_all", attention, att, num_key_value_heads=1, head_dim=4, sliding_window=4, qkv_bias=True, qk_norm=True)
    case("mlp", mlp, {"intermediate_size": 10})
    mix = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 5, "num_shared_experts": 0,
           "balance": "aux_loss", "aux_loss_coef": 0.3, "z_loss_coef": 0.2, "aux_loss_scope": "sequence",
           "capacity_factor": None, "norm_topk_prob": True, "scoring_func": "softmax", "routed_scaling_factor": 1.0,
           "bias_update_rate": 0.001}
    case("moe", moe, mix)
    case("moe_micro_step", moe, mix, aux_loss_scope="micro_step", norm_topk_prob=False, routed_scaling_factor=2.5)
    case("moe_sigmoid", moe, mix, scoring_func="sigmoid", num_experts_per_tok=3, norm_topk_prob=False)
    case("moe_sigmoid_shared", moe, mix, scoring_func="sigmoid", num_shared_experts=2, routed_scaling_factor=1.7)
    case("moe_bias", moe, mix, scoring_func="sigmoid", balance="bias")
    case("moe_capacity", moe, mix, capacity_factor=0.75)
    case("moe_one_expert_per_token", moe, mix, num_experts_per_tok=1, balance="none", norm_topk_prob=False)
    return all_cases


def save(path, tensors, metadata):
    """A safetensors file with the same bytes every time, which the package's own writer does not give."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name in sorted(tensors):
        t = numpy.ascontiguousarray(tensors[name])
        dtype = {"float64": "F64", "int32": "I32"}[str(t.dtype)]
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [len(data), len(data) + t.nbytes]}
        data += t.tobytes()
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(packed)) + packed + data)


def text(value):
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def write(name, function, o):
    key = list(name.encode())
    rng = numpy.random.default_rng(key + [1])
    x, dy = (rng.standard_normal((ROWS, LENGTH, HIDDEN)) for _ in range(2))
    weights = Weights(key + [2])
    function(weights, o, x)  # makes the weights
    channel = function in (mlp, moe)
    losses = {}

    def objective(values, x):
        out = function(Traced(values), o, x)
        y, aux, z = out if function is moe else (out, 0.0, 0.0)
        losses.update(y=plain(y), aux=plain(aux), z=plain(z))
        total = np.sum(dy * y)
        if function is moe:
            total = total + o["aux_loss_coef"] * aux + o["z_loss_coef"] * z
        return total

    of_weights, dx = autograd.grad(objective, argnum=(0, 1))(weights.values, x)
    layer = o.get("layer", LAYER)
    prefix = "model.layers.%d.%s." % (layer, "mlp" if channel else "mixer")
    tensors = {"x": x, "dy": dy, "y": losses["y"], "dx": dx, "starts": STARTS}
    for parameter, value in weights.values.items():
        full = parameter[1:] if parameter.startswith("/") else prefix + parameter
        tensors["weight:" + full], tensors["gradient:" + full] = value, of_weights[parameter]
    if function is moe:
        tensors["aux_loss"], tensors["z_loss"] = (numpy.array([float(losses[n])]) for n in ("aux", "z"))
    assert all(numpy.all(numpy.isfinite(t)) for t in tensors.values())
    metadata = {"option." + k: text(v) for k, v in o.items() if k != "layer"}
    metadata.update(type=function.__name__, kind="channel" if channel else "mixer", layer_index=str(layer),
                    num_layers=str(LAYERS), rms_norm_eps=repr(MODEL_EPS))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".safetensors")
    save(path, tensors, metadata)
    return os.path.getsize(path)


if __name__ == "__main__":
    sizes = [write(*c) for c in cases()]
    print("%d files, %d bytes, the largest %d" % (len(sizes), sum(sizes), max(sizes)))
