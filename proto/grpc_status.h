#pragma once

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace shoal {

// absl::Status to grpc::Status and back, here and nowhere else: the codes are the same numbers.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace shoal
