#include "cli/node_list.h"

#include <cmath>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace shoal {
namespace {

constexpr absl::Duration kUsualRoundTrip = absl::Microseconds(300);
constexpr size_t kMaxNameBytes = 64;
constexpr double kMaxMemory = 1e15;

// "nodes.yaml:7: memory: ..."
class Place {
 public:
  Place(std::string file, const YAML::Mark& mark, std::string key)
      : text_(absl::StrCat(std::move(file), ":", mark.line + 1, ": ", std::move(key))) {}
  template <typename... Parts>
  absl::Status Error(const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat(text_, parts...));
  }

 private:
  const std::string text_;
};

absl::StatusOr<std::string> Scalar(const YAML::Node& value, const Place& place) {
  if (value.IsScalar()) return value.Scalar();
  return place.Error(": is not one value");
}

absl::Status ReadNumber(const YAML::Node& value, const Place& place, double min, double max,
                        double* out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, Scalar(value, place));
  double number = 0;
  if (absl::SimpleAtod(text, &number) && number >= min && number <= max) {
    *out = number;
    return absl::OkStatus();
  }
  return place.Error(": ", Quoted(text), " is not a number in [", min, ", ", max, "]");
}

absl::Status ReadFlag(const YAML::Node& value, const Place& place, bool* out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, Scalar(value, place));
  if (text != "true" && text != "false") {
    return place.Error(": ", Quoted(text), " is not true or false");
  }
  *out = text == "true";
  return absl::OkStatus();
}

absl::Status ReadSize(const YAML::Node& value, const Place& place, uint64_t* out) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, Scalar(value, place));
  const std::pair<std::string_view, double> units[] = {
      {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
      {"KB", 1e3},     {"MB", 1e6},        {"GB", 1e9},           {"TB", 1e12}};
  double scale = 1;
  std::string_view digits = text;
  for (const auto& [unit, bytes] : units) {
    if (!digits.ends_with(unit)) continue;
    digits.remove_suffix(unit.size());
    scale = bytes;
    break;
  }
  double number = 0;
  if (!absl::SimpleAtod(std::string(digits), &number) || !(number * scale >= 1) ||
      number * scale > kMaxMemory) {
    return place.Error(": ", Quoted(text), " is not a size of 1 byte to ", kMaxMemory,
                       ", such as 8GiB or 8000000000");
  }
  *out = static_cast<uint64_t>(number * scale);
  return absl::OkStatus();
}

absl::Status ReadName(const YAML::Node& value, const Place& place, std::string* out) {
  SHOAL_ASSIGN_OR_RETURN(*out, Scalar(value, place));
  if (!out->empty() && out->size() <= kMaxNameBytes) return absl::OkStatus();
  return place.Error(": ", Quoted(*out), " does not have 1 to ", kMaxNameBytes, " bytes");
}

class Reader {
 public:
  Reader(std::string file, double (*measure_read)())
      : file_(std::move(file)), measure_read_(measure_read) {}

  absl::StatusOr<std::vector<StarNode>> Read(const YAML::Node& root) {
    if (!root.IsMap() || root.size() != 1 || !root["nodes"] || !root["nodes"].IsSequence()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_, ":1: the file is not one list named `nodes`"));
    }
    const YAML::Node list = root["nodes"];
    if (list.size() < 1 || list.size() > kMaxPlanNodes) {
      return At(list, "nodes").Error(": ", list.size(), " of them, not 1 to ", kMaxPlanNodes);
    }
    std::vector<StarNode> nodes;
    for (const YAML::Node& entry : list) {
      SHOAL_ASSIGN_OR_RETURN(StarNode node, ReadNode(entry));
      nodes.push_back(std::move(node));
    }
    return nodes;
  }

 private:
  Place At(const YAML::Node& node, const std::string& key) const {
    return Place(file_, node.Mark(), key);
  }

  absl::Status ReadSpeed(const YAML::Node& value, const Place& place, StarNode* node) const {
    if (value.IsScalar() && value.Scalar() == "measure") {
      node->read_gb_per_s = measure_read_();
      return absl::OkStatus();
    }
    return ReadNumber(value, place, 0.01, 1e5, &node->read_gb_per_s);
  }

  absl::Status ReadKey(const std::string& key, const YAML::Node& value, StarNode* node) const {
    const Place place = At(value, key);
    if (key == "name") return ReadName(value, place, &node->name);
    if (key == "memory") return ReadSize(value, place, &node->memory_bytes);
    if (key == "read_gb_per_s") return ReadSpeed(value, place, node);
    if (key == "link_gbit_per_s") {
      return ReadNumber(value, place, 1e-3, 1e5, &node->link_gbit_per_s);
    }
    if (key == "gops") return ReadNumber(value, place, 0.01, 1e9, &node->gops);
    if (key == "router") return ReadFlag(value, place, &node->router);
    if (key == "worker") return ReadFlag(value, place, &node->worker);
    if (key == "round_trip_ms") {
      double ms = 0;
      SHOAL_RETURN_IF_ERROR(ReadNumber(value, place, 0, 1e4, &ms));
      node->round_trip = absl::Milliseconds(ms);
      return absl::OkStatus();
    }
    return place.Error(
        ": there is no such key; there are name, memory, read_gb_per_s, "
        "round_trip_ms, link_gbit_per_s, gops, router and worker");
  }

  absl::StatusOr<StarNode> ReadNode(const YAML::Node& entry) {
    if (!entry.IsMap()) return At(entry, "nodes").Error(": an entry is not a map of keys");
    StarNode node{.name = {}, .round_trip = kUsualRoundTrip};
    std::set<std::string> keys;
    for (const auto& pair : entry) {
      const std::string key = pair.first.IsScalar() ? pair.first.Scalar() : "?";
      if (!keys.insert(key).second) return At(pair.first, key).Error(": stands there twice");
      SHOAL_RETURN_IF_ERROR(ReadKey(key, pair.second, &node));
    }
    for (const char* needed : {"name", "memory", "read_gb_per_s"}) {
      if (!keys.contains(needed)) {
        return At(entry, needed).Error(": is missing; every node has name, memory, read_gb_per_s");
      }
    }
    if (!names_.insert(node.name).second) {
      return At(entry, "name").Error(": ", Quoted(node.name), " is another node's, too");
    }
    if (node.router && has_router_) {
      return At(entry, "router").Error(": true for a second node; at most one runs the router");
    }
    has_router_ |= node.router;
    return node;
  }

  const std::string file_;
  double (*const measure_read_)();
  std::set<std::string> names_;
  bool has_router_ = false;
};

}  // namespace

absl::StatusOr<std::vector<StarNode>> ReadNodeList(const std::string& text,
                                                   const std::string& file_name,
                                                   double (*measure_read)()) {
  try {
    return Reader(file_name, measure_read).Read(YAML::Load(text));
  } catch (const YAML::Exception& error) {  // Its only way to say that something is wrong.
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ":", error.mark.line + 1, ": ", error.msg));
  }
}

}  // namespace shoal
