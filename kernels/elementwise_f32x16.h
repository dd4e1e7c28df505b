#pragma once

// The bodies of elementwise.h over 16 lanes. Included by elementwise_avx2.cc and its like after
// their f32x16 header; private to each.
namespace shoal {
namespace {

// Calls body(offset, load, store) for 16 elements at a time, the last n < 16 with partial accesses.
template <typename Body>
inline void ForLanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    body(
        i, [](const float* p) { return Load(p); }, [](float* p, F32x16 v) { Store(p, v); });
  }
  if (i < n) {
    const int64_t left = n - i;
    body(
        i, [left](const float* p) { return LoadFirst(p, left); },
        [left](float* p, F32x16 v) { StoreFirst(p, left, v); });
  }
}

inline void RmsNormLanes(const float* x, const float* w, int64_t n, float eps, float* out) {
  F32x16 squares = Broadcast(0.0F);
  ForLanes(n, [&](int64_t i, auto load, auto /*store*/) {
    const F32x16 v = load(x + i);
    squares = Fma(v, v, squares);
  });
  const float mean = Sum(squares) / static_cast<float>(n);
  const F32x16 r = Broadcast(1.0F / SquareRoot(mean + eps));
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    store(out + i, Mul(Mul(load(x + i), r), load(w + i)));
  });
}

inline void LayerNormLanes(const float* x, const float* w, const float* bias, int64_t n, float eps,
                           float* out) {
  F32x16 sums = Broadcast(0.0F);
  ForLanes(n, [&](int64_t i, auto load, auto /*store*/) { sums = Add(sums, load(x + i)); });
  const F32x16 mean = Broadcast(Sum(sums) / static_cast<float>(n));
  F32x16 squares = Broadcast(0.0F);
  ForLanes(n, [&](int64_t i, auto load, auto /*store*/) {
    const int64_t inside = n - i < 16 ? n - i : 16;
    const F32x16 d = KeepFirst(Sub(load(x + i), mean), inside, Broadcast(0.0F));
    squares = Fma(d, d, squares);
  });
  const float variance = Sum(squares) / static_cast<float>(n);
  const F32x16 r = Broadcast(1.0F / SquareRoot(variance + eps));
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    store(out + i, Fma(Mul(Sub(load(x + i), mean), r), load(w + i), load(bias + i)));
  });
}

inline void SoftmaxLanes(float* x, int64_t n) {
  const F32x16 lowest = Broadcast(-__builtin_inff());
  F32x16 largest = lowest;
  ForLanes(n, [&](int64_t i, auto load, auto /*store*/) {
    const int64_t inside = n - i < 16 ? n - i : 16;
    largest = Max(KeepFirst(load(x + i), inside, lowest), largest);
  });
  const F32x16 max = Broadcast(LargestLane(largest));
  F32x16 sums = Broadcast(0.0F);
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    const int64_t inside = n - i < 16 ? n - i : 16;
    const F32x16 e = KeepFirst(Exp(Sub(load(x + i), max)), inside, Broadcast(0.0F));
    sums = Add(sums, e);
    store(x + i, e);
  });
  const F32x16 sum = Broadcast(Sum(sums));
  ForLanes(n, [&](int64_t i, auto load, auto store) { store(x + i, Div(load(x + i), sum)); });
}

inline void SiluMulLanes(const float* gate, const float* up, int64_t n, float* out) {
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    const F32x16 g = load(gate + i);
    const F32x16 silu = Div(g, Add(Broadcast(1.0F), Exp(Negate(g))));
    store(out + i, Mul(silu, load(up + i)));
  });
}

inline void GeluMulLanes(const float* gate, const float* up, int64_t n, float* out) {
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    const F32x16 g = load(gate + i);
    const F32x16 factor =
        Fma(Mul(g, g), Broadcast(-0x1.2444f2p-4F), Broadcast(-0x1.988454p+0F));  // Of Gelu.
    const F32x16 gelu = Div(g, Add(Broadcast(1.0F), Exp(Mul(g, factor))));
    store(out + i, Mul(gelu, load(up + i)));
  });
}

inline F32x16 AtMost(F32x16 x, F32x16 limit) { return Negate(Max(Negate(limit), Negate(x))); }

inline void ClampedSiluMulLanes(const float* gate, const float* up, int64_t n, float alpha,
                                float limit, float* out) {
  const F32x16 most = Broadcast(limit);
  const F32x16 one = Broadcast(1.0F);
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    const F32x16 g = AtMost(load(gate + i), most);
    const F32x16 u = Max(Negate(most), AtMost(load(up + i), most));
    const F32x16 silu = Div(g, Add(one, Exp(Negate(Mul(Broadcast(alpha), g)))));
    store(out + i, Mul(Add(u, one), silu));
  });
}

inline void AxpyLanes(float a, const float* x, int64_t n, float* y) {
  ForLanes(n, [&](int64_t i, auto load, auto store) {
    store(y + i, Fma(Broadcast(a), load(x + i), load(y + i)));
  });
}

inline void AddLanes(const float* x, int64_t n, float* y) {
  ForLanes(n,
           [&](int64_t i, auto load, auto store) { store(y + i, Add(load(y + i), load(x + i))); });
}

inline void RopeHalfLanes(float* head, const float* cos, const float* sin, int head_dim) {
  float* other = head + head_dim / 2;
  ForLanes(head_dim / 2, [&](int64_t i, auto load, auto store) {
    const F32x16 a = load(head + i);
    const F32x16 b = load(other + i);
    const F32x16 c = load(cos + i);
    const F32x16 s = load(sin + i);
    store(head + i, Fma(a, c, Negate(Mul(b, s))));
    store(other + i, Fma(b, c, Mul(a, s)));
  });
}

}  // namespace
}  // namespace shoal
