"use strict";
// Points drawn by the processor, for computers without a graphics card: there a software WebGL spends most of a frame
// on setting up one primitive a point, and typed arrays do the same picture several times faster
// (benchmarks/viewer.py measures both). The arithmetic is that of shaders.js; a browser test holds the two together.
class Splatter {
  // Whether this WebGL has no graphics card behind it.
  static needed(gl) {
    const named = gl.getExtension("WEBGL_debug_renderer_info");
    const name = gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
  }

  constructor(data, background) {
    const [logNear, logFar] = data.depth.map(Math.log);
    this.z = Float32Array.from({ length: 65536 }, (_, q) => Math.exp(logNear + ((q - 1) / 65534) * (logFar - logNear)));
    const spread = (count, size) => Float64Array.from({ length: count }, (_, i) => Math.floor(((2 * i + 1) * size) / (2 * count)));
    this.pixelX = spread(data.grid[0], data.size[0]);
    this.pixelY = spread(data.grid[1], data.size[1]);
    this.reach = data.size[0] / data.grid[0];
    this.background = background;
    this.colourMap = this.depthMap = null;
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array([-1, -1, 0, 3, -1, 0, -1, 3, 0]), 3));
    this.quad = new THREE.Mesh(geometry, new THREE.ShaderMaterial({ glslVersion: THREE.GLSL3, vertexShader: QUAD_VERTEX,
      fragmentShader: QUAD_FRAGMENT, uniforms: { colour: { value: null }, depthMap: { value: null } } }));
    this.quad.frustumCulled = false;
    this.quad.renderOrder = -1;
    this.resize(1, 1);
  }

  resize(width, height) {
    Object.assign(this, { width, height, paint: new Uint32Array(width * height), depth: new Float32Array(width * height) });
    this.kept = { key: "", paint: new Uint32Array(width * height), depth: new Float32Array(width * height) };
    this.colourMap?.dispose();
    this.depthMap?.dispose();
    this.colourMap = new THREE.DataTexture(new Uint8Array(this.paint.buffer), width, height);
    this.depthMap = new THREE.DataTexture(this.depth, width, height, THREE.RedFormat, THREE.FloatType);
    this.quad.material.uniforms.colour.value = this.colourMap;
    this.quad.material.uniforms.depthMap.value = this.depthMap;
  }

  // The colour where no point is.
  paintOn({ r, g, b }) {
    const [red, green, blue] = [r, g, b].map((share) => Math.round(255 * share));
    this.ground = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    this.kept.key = "";
  }

  // What a frame's two pictures hold, as arrays.
  static arrays([colour, geometry]) {
    const read = (bitmap) => {
      const board = new OffscreenCanvas(bitmap.width, bitmap.height);
      const pen = board.getContext("2d", { willReadFrequently: true });
      pen.drawImage(bitmap, 0, 0);
      return pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
    };
    const packed = read(geometry);
    const code = new Uint16Array(packed.length / 4);
    const flags = new Uint8Array(code.length);
    for (let i = 0; i < code.length; i++) {
      code[i] = packed[4 * i] * 256 + packed[4 * i + 1];
      flags[i] = packed[4 * i + 2];
    }
    return { code, flags, paint: new Uint32Array(read(colour).buffer) };
  }

  // One picture: the background where it is wanted, the frame's points on top, both maps marked for upload.
  // look: { matrix (projection * view), focal, drop, pointSize, tint, stride }.
  draw(look, withBackground, frame) {
    if (withBackground) this.backdrop(look);
    else this.clear();
    if (frame) this.framePoints(look, frame);
    this.colourMap.needsUpdate = this.depthMap.needsUpdate = true;
  }

  clear() {
    this.paint.fill(this.ground);
    this.depth.fill(1);
  }

  // While the camera rests the background of the frame before is taken again.
  backdrop(look) {
    const { matrix, ...rest } = look;
    const key = JSON.stringify([matrix.elements, rest]);
    if (this.kept.key !== key) {
      this.clear();
      this.backgroundPoints(look);
      this.kept.paint.set(this.paint);
      this.kept.depth.set(this.depth);
      this.kept.key = key;
    } else {
      this.paint.set(this.kept.paint);
      this.depth.set(this.kept.depth);
    }
  }

  backgroundPoints(look) {
    const { code, paint, count, origin, span, footprint } = this.background;
    const e = new THREE.Matrix4().set(span[0] / 65535, 0, 0, origin[0], 0, span[1] / 65535, 0, origin[1],
      0, 0, span[2] / 65535, origin[2], 0, 0, 0, 1).premultiply(look.matrix).elements;
    const size = this.pixelsOf(look, footprint * look.stride);
    const least = look.drop * 65535;
    const drawn = Math.ceil(count / look.stride ** 2);
    for (let i = 0; i < drawn; i++) {
      const rank = code[4 * i + 3];
      if (rank <= least) continue;
      const x = code[4 * i], y = code[4 * i + 1], z = code[4 * i + 2];
      const w = e[3] * x + e[7] * y + e[11] * z + e[15];
      if (w <= 0) continue;
      const shade = look.tint === 2 ? this.rankShade(rank / 65535) : paint[i];
      this.dot((e[0] * x + e[4] * y + e[8] * z + e[12]) / w, (e[1] * x + e[5] * y + e[9] * z + e[13]) / w,
        (e[2] * x + e[6] * y + e[10] * z + e[14]) / w, size / w, shade);
    }
  }

  // frame: { code, flags, paint, K, worldFromCam, rows: [first, last], movingOnly }.
  framePoints(look, frame) {
    const { code, flags, paint, movingOnly } = frame;
    const [fx, fy, cx, cy, skew] = frame.K;
    const e = new THREE.Matrix4().multiplyMatrices(look.matrix, frame.worldFromCam).elements;
    const { stride, tint } = look;
    const size = this.pixelsOf(look, (stride * this.reach) / fx);
    const least = look.drop * 127;
    const columns = this.pixelX.length;
    for (let row = stride * Math.floor(frame.rows[0] / stride); row < frame.rows[1]; row += stride) {
      const v = (this.pixelY[row] - cy) / fy;
      const ax = e[4] * v + e[8], ay = e[5] * v + e[9], az = e[6] * v + e[10], aw = e[7] * v + e[11];
      for (let column = 0; column < columns; column += stride) {
        const i = row * columns + column;
        const q = code[i];
        const flag = flags[i];
        if (q === 0 || flag >> 1 <= least || (movingOnly && !(flag & 1))) continue;
        const z = this.z[q];
        const u = (this.pixelX[column] - cx - skew * v) / fx;
        const w = z * (e[3] * u + aw) + e[15];
        if (w <= 0) continue;
        const shade = tint === 0 ? paint[i] : this.tinted(paint[i], flag, tint);
        this.dot((z * (e[0] * u + ax) + e[12]) / w, (z * (e[1] * u + ay) + e[13]) / w, (z * (e[2] * u + az) + e[14]) / w,
          (size * z) / w, shade);
      }
    }
  }

  // Pixels that a length covers at w = 1.
  pixelsOf(look, length) {
    return length * look.focal * this.height * 0.5 * look.pointSize;
  }

  // A square of `size` pixels around a point in normalised device coordinates, by the rules of WebGL.
  dot(x, y, z, size, shade) {
    if (x < -1 || x > 1 || y < -1 || y > 1 || z < -1 || z > 1) return;
    const { width, height, depth, paint } = this;
    const half = (size < 1 ? 1 : size > 24 ? 24 : size) / 2;
    const column = (x * 0.5 + 0.5) * width - 0.5, row = (y * 0.5 + 0.5) * height - 0.5;
    const left = Math.max(0, Math.ceil(column - half)), right = Math.min(width, Math.ceil(column + half));
    const low = Math.max(0, Math.ceil(row - half)), high = Math.min(height, Math.ceil(row + half));
    const near = z * 0.5 + 0.5;
    for (let r = low; r < high; r++) {
      for (let i = r * width + left; i < r * width + right; i++) {
        if (near <= depth[i]) {
          depth[i] = near;
          paint[i] = shade;
        }
      }
    }
  }

  tinted(rgba, flag, tint) {
    if (tint === 2) return this.rankShade((flag >> 1) / 127);
    if (!(flag & 1)) return rgba;
    const mix = (shift, to) => Math.round(0.25 * ((rgba >> shift) & 255) + 0.75 * 255 * to) << shift;
    return (0xff000000 | mix(0, 0.9) | mix(8, 0.1) | mix(16, 0.1)) >>> 0;
  }

  rankShade(rank) {
    const from = [0.27, 0, 0.33], middle = [0.13, 0.57, 0.55], to = [0.99, 0.91, 0.14];
    const upper = Math.min(1, Math.max(0, rank * 2 - 1)), lower = Math.min(1, rank * 2);
    let shade = 0xff000000;
    for (let i = 0; i < 3; i++) {
      const end = middle[i] + (to[i] - middle[i]) * upper;
      shade |= Math.round(255 * (from[i] + (end - from[i]) * lower)) << (8 * i);
    }
    return shade >>> 0;
  }
}
