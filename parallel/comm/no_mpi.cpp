// In place of parallel/comm/mpi.cpp in a build without MPI.
#include "parallel/comm/comm.h"

namespace og {

std::unique_ptr<Comm> make_mpi_comm(double) {
  fail(Status::usage, "this program was built without MPI: configure with -DOG_MPI=ON");
}

}  // namespace og
