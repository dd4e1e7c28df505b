#include "model/jinja/filter_arguments.h"

namespace shoal::jinja {

const Builtin* FindFilter(std::string_view name) {
  for (const auto filters : {ScalarFilters(), ContainerFilters()}) {
    for (const Builtin& filter : filters) {
      if (name == filter.name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace shoal::jinja
