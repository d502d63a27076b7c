// x·wᵀ with a weight whose rows stay encoded, with what linear.cu says follows it.
#pragma once

#include "encoded.cuh"
#include "linear/linear.cu"
