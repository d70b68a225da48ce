// Do all ranks run the same? Called once at start. Collective over the group; counted at site "startup".
#pragma once

#include <string>

#include "parallel/comm/comm.h"

namespace og {

// what: what the text is, for the message ("the build", "the config"). Ranks whose text is not rank 0's: every rank
// throws Error(Status::rank) that names them and shows the first line where each kind of text differs.
void check_agreement(Comm& world, const std::string& what, const std::string& text);

}  // namespace og
