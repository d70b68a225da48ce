// XXH3, 128 bits, as 32 hexadecimal digits. Finds accidents, not attackers.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace og {

std::string checksum(std::span<const std::byte> bytes);
std::string checksum(std::string_view text);

}  // namespace og
