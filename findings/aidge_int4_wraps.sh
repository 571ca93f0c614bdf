#!/usr/bin/env bash
# aidge-export-cpp clamps a 4-bit activation to the range of 8 bits, so that 8 is stored as -8.
#
# Version: aidge-export-cpp 0.10.1, headers compiled with g++.
# Expected: activations of `bitint<4>` saturate at -8 and 7, as those of int8_t do at -128 and 127: the
#     function that ends every kernel is called `saturate`, and `numeric_limits<bitint<4>>::max()` is 7.
# Seen: `activation_forward_value` clamps to 8 * sizeof bits, 8 for every type of fewer, and the
#     value then loses its upper bits: just beyond the greatest value comes the least one. An image
#     brighter than those that ranges were calibrated on turns large activations into negative ones.
# Output:
#     int8_t: 7 -> 7, 8 -> 8, 127 -> 127, 128 -> 127
#     bitint<4>: 7 -> 7, 8 -> -8, 12 -> -4, 100 -> 4
# Exit status: 0 while this holds, 1 once it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps aidge-export-cpp==0.10.1
static=$("$folder/venv/bin/python" -c "
import importlib.util
print(importlib.util.find_spec('aidge_export_cpp').submodule_search_locations[0])")/static
mkdir -p "$folder/utils"
ln -s "$static" "$folder/utils/cpp"

cat > "$folder/look.cpp" <<'CPP'
#include <initializer_list>
#include <cstdio>
#include "utils/cpp/activation_utils.hpp"

template <typename Output> static int stored(int sum)
{
    const export_cpp::NoScaling none{};
    return export_cpp::activation_forward_value<Output>(
        sum, 0, export_cpp::ActivationFunction_T::Linear, none);
}

template <typename Output> static void look(const char *name, std::initializer_list<int> sums)
{
    const char *between = "";
    std::printf("%s:", name);
    for (int sum : sums) {
        std::printf("%s %d -> %d", between, sum, stored<Output>(sum));
        between = ",";
    }
    std::puts("");
}

int main()
{
    look<std::int8_t>("int8_t", {7, 8, 127, 128});
    look<bitint<4>>("bitint<4>", {7, 8, 12, 100});
}
CPP
g++ -std=c++17 -I "$folder" "$folder/look.cpp" -o "$folder/look"
"$folder/look" | tee "$folder/said"
cmp -s "$folder/said" - <<'EXPECTED'
int8_t: 7 -> 7, 8 -> 8, 127 -> 127, 128 -> 127
bitint<4>: 7 -> 7, 8 -> -8, 12 -> -4, 100 -> 4
EXPECTED
