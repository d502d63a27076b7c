// What a part of the stand-in for the driver begins with; compiled in advance where the compiler can.
#pragma once

#include "isa.cuh"
#include "tensor.cuh"
#include "functions.cuh"
#include "norm.cuh"
#include "product.cuh"
#include "host/function.h"
