"use strict";
// Depth stays an image on the graphics card; the vertex shader lifts pixel gl_VertexID into the world.
const COMMON = `
  uniform float drop, pointSize, viewHeight;
  uniform int tint, show, stride;
  out vec3 shade;
  void hide() { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); gl_PointSize = 0.0; }
  vec3 tinted(vec3 rgb, float rank, bool moving) {
    if (tint == 1) return moving ? mix(rgb, vec3(0.9, 0.1, 0.1), 0.75) : rgb;
    if (tint == 2) return mix(vec3(0.27, 0.0, 0.33), mix(vec3(0.13, 0.57, 0.55), vec3(0.99, 0.91, 0.14),
      clamp(rank * 2.0 - 1.0, 0.0, 1.0)), clamp(rank * 2.0, 0.0, 1.0));
    return rgb;
  }
  void place(vec4 world, float footprint) {
    gl_Position = projectionMatrix * viewMatrix * world;
    float reach = footprint * projectionMatrix[1][1] * viewHeight * 0.5 / max(gl_Position.w, 1e-6);
    gl_PointSize = clamp(reach * pointSize, 1.0, 24.0);
  }
`;

const FRAME_VERTEX = `
  precision highp sampler2D;
  uniform sampler2D colour, geometryMap;
  uniform ivec2 grid, size;
  uniform vec4 K;
  uniform float skew, logNear, logFar;
  uniform mat4 worldFromCam;
` + COMMON + `
  void main() {
    int columns = (grid.x + stride - 1) / stride;
    ivec2 at = stride * ivec2(gl_VertexID % columns, gl_VertexID / columns);
    ivec3 code = ivec3(texelFetch(geometryMap, at, 0).rgb * 255.0 + 0.5);
    float q = float(code.r * 256 + code.g);
    bool moving = (code.b & 1) == 1;
    float rank = float(code.b >> 1) / 127.0;
    if (q < 0.5 || rank <= drop || (show == 1 && !moving)) { hide(); return; }
    float z = exp(mix(logNear, logFar, (q - 1.0) / 65534.0));
    vec2 pixel = vec2(((2 * at + 1) * size) / (2 * grid));
    float v = (pixel.y - K.w) / K.y;
    float u = (pixel.x - K.z - skew * v) / K.x;
    place(worldFromCam * vec4(u * z, v * z, z, 1.0), float(stride) * z / K.x * float(size.x) / float(grid.x));
    shade = tinted(texelFetch(colour, at, 0).rgb, rank, moving);
  }
`;

const BACKGROUND_VERTEX = `
  in vec4 code;
  in vec4 paint;
  uniform vec3 origin, span;
  uniform float footprint;
` + COMMON + `
  void main() {
    float rank = code.w / 65535.0;
    if (rank <= drop) { hide(); return; }
    place(vec4(origin + code.xyz / 65535.0 * span, 1.0), footprint * float(stride));
    shade = tinted(paint.rgb, rank, false);
  }
`;

const FRAGMENT = `
  precision mediump float;
  in vec3 shade;
  out vec4 pixel;
  void main() { pixel = vec4(shade, 1.0); }
`;

// The processor's picture (splat.js) with its depth, so that cameras and axes stand in front of and behind points.
const QUAD_VERTEX = `void main() { gl_Position = vec4(position.xy, 0.0, 1.0); }`;
const QUAD_FRAGMENT = `
  precision highp float;
  uniform sampler2D colour;
  uniform highp sampler2D depthMap;
  out vec4 pixel;
  void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    pixel = vec4(texelFetch(colour, at, 0).rgb, 1.0);
    gl_FragDepth = texelFetch(depthMap, at, 0).r;
  }
`;
