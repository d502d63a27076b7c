// Functions of the stand-in for the driver: what kernels become known by.
#pragma once

#include <map>
#include <string>

#include "run.h"

namespace emulation {

// What is told about a tensor of a function's argument.
struct Shape {
    int bytes;  // of an element
    int width;
};

// A function of the machine code that an executor believes to load.
struct Function {
    Variant variant = {};
    int threads = 0;
    size_t shared = 0;
    std::vector<Shape> operands;
    size_t allowed = 48 * 1024;
};

// All that there are, by their symbols.
std::map<std::string, Function>& functions();

}  // namespace emulation
