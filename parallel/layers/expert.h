// Expert parallelism: rows of tokens go to the ranks that hold their experts and come back. The expert group regroups
// data, sequence and tensor ranks; rank p of P holds experts [p E / P, (p + 1) E / P). Tokens [N, D] are varying on all
// three axes (with tensor > 1 they are divided over it first), and so is everything here.
//
// Every rank calls every collective, whatever it holds: no tokens, no rows for anybody, no rows for its experts. Sites:
// "moe.counts", "moe.dispatch", "moe.combine" and their ".backward". Rows of an expert are ordered by source rank, then
// token. The rank's own thread calls. K choices per token, encoded as kernels/moe.h says.
#pragma once

#include <memory>
#include <vector>

#include "framework/autograd/tape.h"
#include "parallel/mesh/mesh.h"

namespace og {

// How many rows go from each rank of the group to each expert, as far as this rank takes part. Messages between ranks
// need the numbers on the host. In a group of one there are none: its rows are all N K choices, of which the dropped
// ones lie after the last expert's.
struct RowCounts {
  Tensor sent_PE;      // i32 [P, E / P]: to each expert of each rank
  Tensor received_PE;  // i32 [P, E / P]: from each rank to each of this rank's experts
  Tensor on_host_2PE;  // both, on the host; absent in a group of one
};

// Collective. With more than one rank the host reads once, and waits for the choice.
RowCounts exchange_counts(Tape& tape, const Tensor& experts_NK, int64_t num_experts, Comm& group);

// Where the rows of this rank's tokens go, and where the rows that it receives belong.
struct ExpertRoute {
  std::vector<int64_t> send_rows, recv_rows;  // by rank of the group
  Tensor token_M;                             // i32: the token of each row sent, -1 for none; by expert, then token
  Tensor slots_NK;                            // i32: the row of each choice, -1 if dropped
  bool arrives_in_order = true;               // rows are received by local expert
  // Else: row i by local expert is the received row arrival_R[i]; departure_R1 is the inverse. R rows are received.
  Tensor arrival_R, departure_R1;
  Tensor row_begin_E;  // i64, E / P + 1 borders of the rows of each local expert

  int64_t num_received() const;
};

std::shared_ptr<const ExpertRoute> make_route(Context& cx, const Tensor& experts_NK, const RowCounts& counts);

// Rows on their way to their experts. Start it, do other work on the same tape, finish. In backward that work runs
// while the gradients fly back. Not copied or moved while it flies.
class Dispatch {
 public:
  Dispatch(Tape& tape, const Value& x_ND, std::shared_ptr<const ExpertRoute> route, Comm& group);
  Value finish();  // [R, D], by local expert

 private:
  Tape& tape_;
  std::shared_ptr<const ExpertRoute> route_;
  Comm& group_;
  std::shared_ptr<Pending> returning_;  // the gradients' flight
  Value sent_MD_;
  Tensor received_RD_;
  Pending flying_;
};

// The experts' rows [R, D] back at their tokens, summed with the weights [N, K] in the order of experts: [N, D].
Value combine(Tape& tape, const Value& y_RD, const Value& weights_NK, const ExpertRoute& route, Comm& group);

}  // namespace og
