# Prints the numbers of tests/kernels/literals_test.cpp and unary_literals_test.cpp: python3 literals.py, with the package
# mpmath 1.3. Worked out with 60 digits and rounded once. A row of the first table is x, f(x), f'(x), f''(x).
from mpmath import cos, diff, erfc, exp, expm1, log, log1p, mp, mpf, pi, sin, sqrt

mp.dps = 60
POINTS = [mpf(p) for p in ("-100", "-20", "-5", "-1", "-1e-8", "0", "1e-8", "1", "5", "20", "100")]


def literal(x):
    if abs(x) < mpf("1e-300"):
        x = mpf(0)
    return mp.nstr(x, 17, min_fixed=-5, max_fixed=17)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def phi(x):
    return erfc(-x / sqrt(2)) / 2


def step(x, at_zero=0):
    return mpf(1) if x > 0 else mpf(at_zero) if x == 0 else mpf(0)


UNARY = {
    "identity": (lambda x: x, lambda x: mpf(1)),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "softplus": (lambda x: log1p(exp(x)), sigmoid),
    "relu": (lambda x: x * step(x), step),
    "squared_relu": (lambda x: x * x * step(x), lambda x: 2 * x * step(x)),
    "gelu": (lambda x: x * phi(x), lambda x: phi(x) + x * exp(-x * x / 2) / sqrt(2 * pi)),
    "elu_plus_one": (lambda x: x + 1 if x > 0 else exp(x), lambda x: mpf(1) if x > 0 else exp(x)),
    "exp": (exp, exp),
    "log_sigmoid": (lambda x: -log1p(exp(-x)), lambda x: sigmoid(-x)),
    "one_minus_exp": (lambda x: -expm1(x), lambda x: -exp(x)),
    "neg_exp": (lambda x: -exp(x), lambda x: -exp(x)),
}

for name, (f, df) in UNARY.items():
    print("    {Unary::%s, {" % name)
    for x in POINTS:
        curved = diff(df, x) if x != 0 or "relu" not in name and "elu" not in name.split("_") else mpf(0)
        print("        {%s}," % ", ".join(literal(v) for v in (x, f(x), df(x), curved)))
    print("    }},")


def show(title, values):
    print(title + ": " + ", ".join(literal(v) for v in values))


def vector(*texts):
    return [mpf(t) for t in texts]


def gradient(f, x, i):
    return diff(lambda t: f(x[:i] + [t] + x[i + 1:]), x[i])


def weigh(f, dy):
    return lambda x: sum(a * b for a, b in zip(dy, f(x)))


DY = vector("1", "-2", "0.5", "3")
# RMS norm, eps 1e-5
W = vector("1", "-0.5", "2", "0.25")
for x in (vector("1", "-2", "3", "0.5"), vector("-100", "-1e-8", "20", "100"), vector("1e-8", "-1e-8", "0", "1e-8")):
    f = lambda x, w=W: [a / sqrt(sum(b * b for b in x) / 4 + mpf("1e-5")) * c for a, c in zip(x, w)]
    show("rms y", f(x))
    show("rms dx", [gradient(weigh(f, DY), x, i) for i in range(4)])
    show("rms dw", [gradient(lambda w: weigh(lambda y: f(y, w), DY)(x), W, i) for i in range(4)])
    l2 = lambda x: [a / sqrt(sum(b * b for b in x) + mpf("1e-6")) for a in x]
    show("l2 y", l2(x))
    show("l2 dx", [gradient(weigh(l2, DY), x, i) for i in range(4)])
# softmax
for x in (vector("1", "-2", "3", "0.5"), vector("-100", "-1e-8", "20", "100"), vector("100", "100", "-100", "99")):
    soft = lambda x: [exp(a - max(x)) / sum(exp(b - max(x)) for b in x) for a in x]
    s = soft(x)
    dot = sum(a * b for a, b in zip(s, DY))
    show("softmax y", s)
    show("softmax dx", [p * (g - dot) for p, g in zip(s, DY)])
# rotary positions, D 4, theta 10000
for p in (1, 100, 100000):
    x, a = vector("1", "-2", "3", "0.5"), [mpf(p), mpf(p) / 100]
    forward = [x[i] * cos(a[i]) - x[i + 2] * sin(a[i]) for i in (0, 1)] + [x[i + 2] * cos(a[i]) + x[i] * sin(a[i]) for i in (0, 1)]
    back = [x[i] * cos(a[i]) + x[i + 2] * sin(a[i]) for i in (0, 1)] + [x[i + 2] * cos(a[i]) - x[i] * sin(a[i]) for i in (0, 1)]
    show("rope %d" % p, forward)
    show("rope %d back" % p, back)
# convolution of 3 taps with bias and silu over 4 tokens, document 2 begins at token 2
for scale in ("1", "20"):
    x, w, bias = [mpf(scale) * v for v in vector("1", "-2", "3", "0.5")], vector("0.5", "-1", "2"), mpf("0.25")
    starts = [0, 0, 2, 2]

    def conv(x, w=w, bias=bias):
        z = [bias + sum(w[i] * x[t - 2 + i] for i in range(3) if t - 2 + i >= starts[t]) for t in range(4)]
        return [a * sigmoid(a) for a in z]

    show("conv y", conv(x))
    show("conv dx", [gradient(weigh(conv, DY), x, i) for i in range(4)])
    show("conv dw", [gradient(lambda v: weigh(lambda y: conv(y, v), DY)(x), w, i) for i in range(3)])
    show("conv db", [diff(lambda b: weigh(lambda y: conv(y, w, b), DY)(x), bias)])
# cross-entropy, target 3, and its gradient
for x in (vector("1", "-2", "3", "0.5"), vector("-100", "-1e-8", "20", "100"), vector("100", "100", "-100", "20")):
    s = soft(x)
    show("loss", [log(sum(exp(a - max(x)) for a in x)) - (x[3] - max(x))])
    show("loss dx", [p - (1 if i == 3 else 0) for i, p in enumerate(s)])
# AdamW: rate 0.01, betas 0.9 0.95, eps 1e-8, decay 0.1, clip 0.5
for t, w, m, v, g in ((1, "1", "0", "0", "20"), (1, "1", "0", "0", "1e-8"), (1, "-100", "0", "0", "0"),
                      (1000, "20", "-1e-8", "1e-8", "100"), (7, "-1e-8", "0.5", "4", "-100")):
    w, m, v, g = mpf(w), mpf(m), mpf(v), mpf("0.5") * mpf(g)
    b1, b2 = mpf("0.9"), mpf("0.95")
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    w = w - mpf("0.01") * (m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + mpf("1e-8")) + mpf("0.1") * w)
    show("adamw %d" % t, [w, m, v])
