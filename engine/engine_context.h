#pragma once

#include "base/thread_pool.h"
#include "engine/exchange.h"
#include "engine/expert_executor.h"
#include "engine/kv_cache.h"
#include "engine/model_slice.h"
#include "kernels/packed_matrix.h"
#include "model/model_config.h"

namespace shoal {

// What every layer works with; owned by the engine.
struct EngineContext {
  ModelConfig config;
  ModelSlice slice;
  const KernelTable& kernels;
  ThreadPool* pool;
  ExpertExecutor* experts;
  Exchange* exchange;
  KvCache* kv_cache;
  bool activations_f32;  // The slow reference path.

  // Whether products with `w` take int8 activations.
  bool TakesInt8(const PackedMatrix& w) const {
    return Traits(w.dtype()).quantized && !activations_f32;
  }
};

}  // namespace shoal
