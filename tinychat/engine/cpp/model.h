// What native.py hands over: plain records of pointers and numbers, in the layout of its ctypes twins.

#pragma once

#include <cstdint>

extern "C" {

struct Norm {
    const float *weight, *bias;  // (D); bias null: none
};

struct Matrix {  // (rows, columns)
    const void* weight;
    const float *scale, *bias;  // scale (rows): int8 only; bias (rows) or null
    int32_t rows, columns;
};

struct Layer {
    Norm attention_norm, feed_forward_norm;
    Matrix qkv, output, up, down;
};

enum : int32_t { RMS, LAYER };
enum : int32_t { SWIGLU, GELU, GELU_TANH, RELU2 };

struct Model {
    int32_t norm_type, activation;
    int32_t layers, width, heads, groups, hidden, context;
    float eps;
    const Layer* layer;  // (layers)
    Norm norm;
    Matrix embedding, head;
    const float* positions;  // (context, D) learned, or null
    const float* rope;  // (2, context, E): cosine and signed sine, or null
};

struct Cache {  // keys and values, (layers, lanes, G, places, E) each, and how many numbers lie between two of each
    void *keys, *values;
    int64_t layer_stride, lane_stride, group_stride, position_stride;
};

struct Row {  // of a step
    int64_t token, lane, position;
};

}  // extern "C"
