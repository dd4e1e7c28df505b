#include "worker/served.h"

#include <utility>

#include "base/check.h"

namespace shoal {

Served::Served(ServedModel model, std::unique_ptr<LocalExperts> experts, Clock* clock)
    : model_(std::move(model)),
      experts_(std::move(experts)),
      op_(model_, experts_.get(), clock),
      advertised_(model_.n_layers, model_.n_experts) {}

ExpertSet Served::advertised() const {
  MutexLock lock(&mu_);
  return advertised_;
}

void Served::Advertise(int layer, int expert) {
  SHOAL_CHECK(experts_->Resident(layer, expert));
  MutexLock lock(&mu_);
  advertised_.Insert(layer, expert);
}

void Served::Withdraw(int layer, int expert) {
  MutexLock lock(&mu_);
  advertised_.Erase(layer, expert);
}

void Served::AdvertiseAll() {
  for (int layer = 0; layer < model_.n_layers; ++layer) {
    for (int expert = 0; expert < model_.n_experts; ++expert) {
      if (experts_->Resident(layer, expert)) Advertise(layer, expert);
    }
  }
}

}  // namespace shoal
