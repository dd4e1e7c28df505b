#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

// Every cap in the system, one line of reason each. Reaching one is an error reply, not growth.
namespace shoal {

// --- Models (FAILURE-MODEL 6.6).
inline constexpr int kMaxLayers = 512;
inline constexpr int kMaxExperts = 1024;
inline constexpr int kMaxTopK = 64;  // Widest routing in use is 8 to 22.
inline constexpr int64_t kMaxContext = 16 << 20;
inline constexpr int kMaxDim = 1 << 20;    // Any width; products of two fit in int64.
inline constexpr int kMaxConvKernel = 16;  // Positions of a convolution; those in use see 3 or 4.
inline constexpr int kMaxVocab = 1 << 20;  // Widest vocabulary in use has 262,144.
inline constexpr int kMaxMerges = 2 << 20;

// --- Engine.
inline constexpr int kMaxStepTokens = 512;     // Prompt chunk plus decode rows of one step.
inline constexpr int kMaxBatchSequences = 64;  // Sequences that share one step.

// --- Wire (S14, S15).
inline constexpr size_t kMaxMessageBytes = size_t{8} << 20;  // Both ways; larger work goes in rows.
inline constexpr int kMaxCallRows = 4096;                    // Rows of one expert call.
inline constexpr int kMaxCallsPerPeer = 64;                  // In flight from one router.
inline constexpr size_t kMaxCallBytesPerPeer = size_t{256} << 20;
inline constexpr int kMaxCalls = 1024;  // In flight from all routers; sixteen that ask for much.
inline constexpr size_t kMaxCallBytes = size_t{1} << 30;
inline constexpr absl::Duration kMaxCallDeadline = absl::Seconds(10);

// --- Links (S15, S16). A listener counts each kind of stream by itself.
inline constexpr int kMaxLinks = 320;       // All nodes of a snapshot, and some callers more.
inline constexpr int kMaxLinksPerPeer = 4;  // Of one node id.
inline constexpr absl::Duration kMaxAnonymousTime = absl::Seconds(10);  // Then others go before.
inline constexpr int kMaxAnonymousLinks = 16;  // Without a certificate: joining takes a moment.
// What waits for one peer to read it; four such links make the 256 MiB of S15.
inline constexpr size_t kMaxUnsentBytes = size_t{64} << 20;
inline constexpr int kMaxOpensPerSecond = 100;  // From one address, on average.
inline constexpr int kMaxOpensAtOnce = 400;     // From one address, before the average counts.

// --- Cluster.
inline constexpr int kMaxMembers = 256;                       // Nodes of one snapshot.
inline constexpr int kMaxRevoked = 4096;                      // Node ids; a cluster draws few.
inline constexpr size_t kMaxSnapshotBytes = size_t{7} << 20;  // It travels as one message.
inline constexpr int kMaxQueuedFetches = 64;                  // Beyond that: OVERLOADED.
inline constexpr int kMaxFetchesPerLink = 4;                  // A fetcher keeps two under way.

// --- HTTP (S08, S11).
inline constexpr size_t kMaxRequestLineBytes = size_t{8} << 10;
inline constexpr size_t kMaxHeaderBytes = size_t{16} << 10;
inline constexpr size_t kMaxBodyBytes = size_t{4} << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonContainers = 65536;  // Bounds the memory of a parsed body.
inline constexpr int kMaxHeaderFields = 100;
inline constexpr int kMaxMessages = 1024;
inline constexpr int kMaxTools = 128;
inline constexpr int kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 256;
inline constexpr size_t kMaxApiKeys = 4096;
inline constexpr uint64_t kMaxApiKeyFileBytes = 1 << 20;
inline constexpr int kMaxConnections = 16384;
inline constexpr int kMaxConnectionsPerAddress = 256;
inline constexpr int kMaxQueuedRequests = 256;  // Waiting for KV room; beyond that 503.
inline constexpr size_t kMaxStreamBufferBytes = size_t{64} << 10;  // F26: full = not scheduled.

}  // namespace shoal
