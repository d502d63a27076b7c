// What a program of the emulation begins with; compiled in advance where the compiler can.
#pragma once

#include "isa.cuh"
#include "tensor.cuh"
#include "functions.cuh"
#include "norm.cuh"
#include "product.cuh"
#include "host/run.h"
