"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("scene").textContent);
  const state = { frame: 0, playing: false, shown: -1, ready: false, firstPictureMs: null, prefetched: false, stride: 1, coarse: 1, full: false, processor: false, problem: null };
  const canvas = byId("view");
  const LETTER_PX = 20;

  function fail(message) {
    state.problem = message;
    const box = document.createElement("p");
    box.id = "problem";
    box.textContent = message;
    byId("stage").append(box);
  }

  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: false, powerPreference: "high-performance" });
  } catch (error) {
    fail("This page needs WebGL 2. Switch on hardware acceleration or use another browser.");
    window.page4d = { state };
    return;
  }
  // Colours are image values already; no conversion on the way in or out.
  renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
  state.processor = Splatter.needed(renderer.getContext());
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(50, 1, data.view.near, data.view.far);
  camera.up.set(0, -1, 0); // y points down in the data
  const controls = new THREE.OrbitControls(camera, canvas);
  controls.addEventListener("change", redraw);

  // ---- data ---------------------------------------------------------------------------------------------------
  function bytes(base64) {
    const text = atob(base64);
    const out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out;
  }

  async function bitmap(image) {
    const blob = new Blob([bytes(image.base64)], { type: image.type });
    return createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  }

  function textureOf(source) {
    const texture = new THREE.Texture(source);
    texture.minFilter = texture.magFilter = THREE.NearestFilter;
    texture.generateMipmaps = false;
    texture.flipY = false;
    texture.needsUpdate = true;
    return texture;
  }

  // Decoded frames, as textures or as arrays: as many as a budget of 400 MB allows, least recently shown thrown out first.
  const cache = new Map();
  const budget = Math.max(4, Math.floor(400e6 / (8 * data.grid[0] * data.grid[1])));
  async function decode(i) {
    const maps = await Promise.all([bitmap(data.colour[i]), bitmap(data.geometry[i])]);
    if (!state.processor) return { textures: maps.map(textureOf) };
    const arrays = Splatter.arrays(maps);
    maps.forEach((map) => map.close());
    return { arrays };
  }
  const dispose = (entry) => entry.then(({ textures }) => textures?.forEach((map) => map.dispose()));
  function decoded(i) {
    const entry = cache.get(i) ?? decode(i);
    cache.delete(i);
    cache.set(i, entry);
    if (cache.size > budget) {
      const [oldest, gone] = cache.entries().next().value;
      cache.delete(oldest);
      dispose(gone);
    }
    return entry;
  }

  // ---- what is drawn ------------------------------------------------------------------------------------------
  const shared = { drop: { value: 0 }, pointSize: { value: 1.2 }, viewHeight: { value: 1 }, tint: { value: 0 },
    stride: { value: 1 } };
  function pointMaterial(vertexShader, uniforms) {
    return new THREE.ShaderMaterial({ glslVersion: THREE.GLSL3, vertexShader, fragmentShader: FRAGMENT,
      uniforms: { ...shared, show: { value: 0 }, ...uniforms } });
  }

  const frameMaterial = pointMaterial(FRAME_VERTEX, {
    colour: { value: null }, geometryMap: { value: null }, K: { value: null }, skew: { value: 0 },
    grid: { value: new THREE.Vector2(...data.grid) }, size: { value: new THREE.Vector2(...data.size) },
    logNear: { value: Math.log(data.depth[0]) }, logFar: { value: Math.log(data.depth[1]) },
    worldFromCam: { value: new THREE.Matrix4() },
  });
  const frameGeometry = new THREE.BufferGeometry(); // no attributes: the vertex number is the pixel
  frameGeometry.setDrawRange(0, data.grid[0] * data.grid[1]);
  const framePoints = new THREE.Points(frameGeometry, frameMaterial);
  framePoints.frustumCulled = false;
  framePoints.visible = false;
  scene.add(framePoints);

  function backgroundPoints(stored, code, paint) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("code", new THREE.BufferAttribute(code, 4, false));
    geometry.setAttribute("paint", new THREE.BufferAttribute(paint, 4, true));
    const points = new THREE.Points(geometry, pointMaterial(BACKGROUND_VERTEX, {
      origin: { value: new THREE.Vector3(...stored.origin) }, span: { value: new THREE.Vector3(...stored.span) },
      footprint: { value: stored.footprint } }));
    points.frustumCulled = false;
    points.visible = false;
    scene.add(points);
    return points;
  }
  const stored = data.background;
  const code = stored && new Uint16Array(bytes(stored.code).buffer);
  const paint = stored && bytes(stored.paint);
  const background = stored ? backgroundPoints(stored, code, paint) : null;
  const splatter = new Splatter(data, stored && { ...stored, code, paint: new Uint32Array(paint.buffer) });
  scene.add(splatter.quad);
  THEME.draw(() => {
    const ground = THEME.colour("ground");
    renderer.setClearColor(ground);
    splatter.paintOn(ground);
    if (state.ready) redraw();
  });

  function lines(points, ink, Kind = THREE.LineSegments) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(points.flat()), 3));
    const object = new Kind(geometry, new THREE.LineBasicMaterial());
    THEME.draw(() => object.material.color.copy(THEME.colour(ink)));
    object.frustumCulled = false;
    scene.add(object);
    return object;
  }
  const edges = [[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]];
  const frustum = (corners) => edges.flatMap(([a, b]) => [corners[a], corners[b]]);
  const allFrusta = lines(data.frusta.flatMap(frustum), "camera");
  const path = lines(data.frusta.map((corners) => corners[0]), "path", THREE.Line);
  const currentFrustum = lines(frustum(data.frusta[0]), "current");

  const letters = [];
  function letter(text, at) {
    const board = document.createElement("canvas");
    const pen = board.getContext("2d");
    board.width = board.height = 56;
    const map = new THREE.CanvasTexture(board);
    map.minFilter = THREE.LinearFilter;
    map.generateMipmaps = false;
    THEME.draw(() => {
      Object.assign(pen, { font: "600 44px system-ui, sans-serif", lineWidth: 8, strokeStyle: THEME.ink("ground"), fillStyle: THEME.ink("ink") });
      pen.textAlign = "center";
      pen.strokeText(text, 28, 42);
      pen.fillText(text, 28, 42);
      map.needsUpdate = true;
    });
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map, depthTest: false, sizeAttenuation: false }));
    sprite.position.set(...at);
    scene.add(sprite);
    letters.push(sprite);
    return sprite;
  }
  // Letters are as large as the text of the page, from near and from far.
  function sizeLetters() {
    const size = (2 * LETTER_PX) / (camera.projectionMatrix.elements[5] * renderer.domElement.clientHeight);
    for (const one of letters) one.scale.set(size, size, 1);
  }
  const reach = data.axes.length;
  const axes = [["x", [reach, 0, 0]], ["y", [0, reach, 0]], ["z", [0, 0, reach]]]
    .flatMap(([name, end]) => [lines([[0, 0, 0], end], name), letter(name, end.map((v) => v * 1.08))]);

  // ---- drawing ------------------------------------------------------------------------------------------------
  // While things move, a slow graphics card gets every 2nd or 3rd point of each row and column; at rest it gets all.
  let scheduled = false;
  let refine = 0, lastDraw = 0;
  function redraw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame((now) => {
      scheduled = false;
      const gap = now - lastDraw;
      lastDraw = now;
      if (gap < 1000) state.coarse = Math.min(3, Math.max(1, state.coarse + (gap > 120 ? 1 : 0) - (gap < 25 ? 1 : 0)));
      state.stride = state.full ? 1 : state.coarse;
      draw();
      clearTimeout(refine);
      if (state.stride > 1) refine = setTimeout(() => { state.stride = 1; draw(); }, 400);
    });
  }
  function draw() {
    const mode = byId("mode").value;
    const has = state.shown >= 0;
    // Only the rows that hold moving pixels are worth a look.
    const rows = mode === "split" && has ? data.movingRows[state.shown] : [0, data.grid[1]];
    const wanted = { frame: has && mode !== "static", movingOnly: mode === "split", background: background && mode !== "frame" };
    (state.processor ? drawByProcessor : drawByCard)(wanted, rows);
    sizeLetters();
    renderer.render(scene, camera);
    if (has && !state.ready) {
      state.ready = true;
      state.firstPictureMs = performance.now();
    }
  }
  function drawByCard(wanted, [first, last]) {
    const stride = (shared.stride.value = state.stride);
    splatter.quad.visible = false;
    framePoints.visible = wanted.frame;
    frameMaterial.uniforms.show.value = wanted.movingOnly ? 1 : 0;
    const columns = Math.ceil(data.grid[0] / stride);
    const start = Math.floor(first / stride);
    frameGeometry.setDrawRange(start * columns, (Math.ceil(last / stride) - start) * columns);
    if (!background) return;
    background.visible = Boolean(wanted.background);
    // The stored order is random, so the first part is a fair sample of the whole.
    background.geometry.setDrawRange(0, Math.ceil(stored.count / stride ** 2));
  }
  function drawByProcessor(wanted, rows) {
    splatter.quad.visible = true;
    for (const points of [framePoints, background]) if (points) points.visible = false;
    camera.updateMatrixWorld();
    const look = {
      matrix: new THREE.Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse),
      focal: camera.projectionMatrix.elements[5], drop: shared.drop.value, pointSize: shared.pointSize.value,
      tint: shared.tint.value, stride: state.stride,
    };
    const { K, skew, worldFromCam } = frameMaterial.uniforms;
    const frame = wanted.frame && { ...shownArrays, K: [...K.value, skew.value], worldFromCam: worldFromCam.value, rows,
      movingOnly: wanted.movingOnly };
    splatter.draw(look, wanted.background, frame);
  }

  let wantedFrame = 0, shownArrays = null;
  async function show(i) {
    wantedFrame = i;
    state.frame = i;
    byId("frame").value = i;
    const { textures, arrays } = await decoded(i);
    if (wantedFrame !== i) return;
    const uniforms = frameMaterial.uniforms;
    [uniforms.colour.value, uniforms.geometryMap.value] = textures ?? [null, null];
    shownArrays = arrays;
    const [fx, fy, cx, cy, skew] = data.K[i];
    uniforms.K.value = [fx, fy, cx, cy];
    uniforms.skew.value = skew;
    uniforms.worldFromCam.value.set(...data.worldFromCam[i], 0, 0, 0, 1);
    currentFrustum.geometry.getAttribute("position").array.set(frustum(data.frusta[i]).flat());
    currentFrustum.geometry.getAttribute("position").needsUpdate = true;
    state.shown = i;
    const seconds = data.times[i] === null ? "" : `, ${data.times[i].toFixed(2)} s`;
    byId("frame-name").textContent = `${i + 1} / ${data.names.length}`;
    byId("note").textContent = `${data.names[i]}${seconds} · world ≈ first camera: x right, y down, z forward · axes of ${data.axes.text} · unit: ${data.unit}`;
    markStrips();
    redraw();
    decoded((i + 1) % data.names.length); // ready before it is asked for
  }

  // ---- playing ------------------------------------------------------------------------------------------------
  let due = 0;
  async function step(now) {
    if (!state.playing) return;
    if (now >= due) {
      due = now + 1000 / (data.fps * Number(byId("speed").value));
      await show((state.frame + 1) % data.names.length);
    }
    requestAnimationFrame(step);
  }
  function play(on) {
    state.playing = on && data.names.length > 1;
    byId("play").textContent = state.playing ? "❚❚ Pause" : "▶ Play";
    if (state.playing) requestAnimationFrame(step);
  }

  // ---- views --------------------------------------------------------------------------------------------------
  function overview() {
    camera.fov = 50;
    camera.up.set(0, -1, 0);
    camera.position.set(...data.view.eye);
    controls.target.set(...data.view.target);
    camera.updateProjectionMatrix();
    controls.update();
    redraw();
  }
  function through() {
    const m = data.worldFromCam[state.frame];
    const [, fy] = data.K[state.frame];
    const centre = new THREE.Vector3(m[3], m[7], m[11]);
    const forward = new THREE.Vector3(m[2], m[6], m[10]);
    camera.fov = (360 / Math.PI) * Math.atan(data.size[1] / (2 * fy));
    camera.up.set(-m[1], -m[5], -m[9]);
    camera.position.copy(centre);
    controls.target.copy(centre).addScaledVector(forward, data.view.distance);
    camera.updateProjectionMatrix();
    controls.update();
    redraw();
  }
  function resize() {
    const { clientWidth: w, clientHeight: h } = byId("stage");
    renderer.setPixelRatio(state.processor ? 1 : Math.min(window.devicePixelRatio || 1, 2));
    renderer.setSize(w, h, false);
    camera.aspect = w / Math.max(h, 1);
    camera.updateProjectionMatrix();
    const buffer = renderer.getDrawingBufferSize(new THREE.Vector2());
    shared.viewHeight.value = buffer.y;
    splatter.resize(...(state.processor ? buffer.toArray() : [1, 1]));
    redraw();
  }

  // ---- strips -------------------------------------------------------------------------------------------------
  const strips = [];
  async function buildStrips() {
    for (const strip of data.strips) {
      const row = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = strip.label;
      const film = document.createElement("div");
      const board = document.createElement("canvas");
      const marker = document.createElement("i");
      [board.width, board.height] = [data.thumb[0] * data.names.length, data.thumb[1]];
      board.setAttribute("aria-label", `${strip.label}, one picture per frame`);
      board.addEventListener("click", (event) => show(Math.min(data.names.length - 1, Math.floor(event.offsetX / thumbWidth()))));
      board.getContext("2d").drawImage(await bitmap(strip), 0, 0);
      film.append(board, marker);
      row.append(caption, film);
      byId("strips").append(row);
      strips.push({ board, marker });
    }
    markStrips();
  }
  // All frames side by side if that leaves them recognisable; else the strips scroll.
  // Together they leave most of the height to the scene.
  const CAPTION = 128, NARROWEST = 40, SHARE = 0.25;
  function thumbWidth() {
    const room = (byId("strips").clientWidth - CAPTION - 24) / data.names.length;
    const tallest = (SHARE * window.innerHeight) / data.strips.length;
    const widest = Math.min(room, (tallest * data.thumb[0]) / data.thumb[1]);
    return Math.min(data.thumb[0], Math.max(NARROWEST, widest));
  }
  function markStrips() {
    const w = thumbWidth();
    for (const { board, marker } of strips) {
      board.style.width = `${w * data.names.length}px`;
      Object.assign(marker.style, { width: `${w}px`, left: `${state.frame * w}px` });
    }
    const scroller = byId("strips");
    const left = CAPTION + state.frame * w;
    if (left + w > scroller.scrollLeft + scroller.clientWidth || left < scroller.scrollLeft + CAPTION) {
      scroller.scrollLeft = Math.max(0, left - scroller.clientWidth / 2);
    }
  }

  // ---- controls -----------------------------------------------------------------------------------------------
  function confidence() {
    const percent = Number(byId("confidence").value);
    shared.drop.value = percent / 100;
    byId("confidence-value").textContent = `${percent} %`;
    redraw();
  }
  byId("frame").max = data.names.length - 1;
  byId("confidence").value = Math.round(100 * data.drop);
  byId("play").addEventListener("click", () => play(!state.playing));
  byId("frame").addEventListener("input", (event) => { play(false); show(Number(event.target.value)); });
  byId("confidence").addEventListener("input", confidence);
  byId("mode").addEventListener("change", redraw);
  byId("tint").addEventListener("change", (event) => { shared.tint.value = Number(event.target.value); redraw(); });
  byId("size").addEventListener("input", (event) => { shared.pointSize.value = Number(event.target.value); redraw(); });
  for (const [id, objects] of Object.entries({ cameras: [allFrusta, path, currentFrustum], axes })) {
    byId(id).addEventListener("change", (event) => {
      for (const object of objects) object.visible = event.target.checked;
      redraw();
    });
  }
  byId("overview").addEventListener("click", overview);
  byId("through").addEventListener("click", through);
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|BUTTON)$/.test(event.target.tagName)) return;
    const n = data.names.length;
    if (event.key === " ") { event.preventDefault(); play(!state.playing); }
    else if (event.key === "ArrowRight") show((state.frame + 1) % n);
    else if (event.key === "ArrowLeft") show((state.frame + n - 1) % n);
  });
  for (const option of byId("mode").options) if (!background && option.value !== "frame") option.disabled = true;
  byId("mode").value = data.mode;
  canvas.addEventListener("webglcontextlost", () => fail("The graphics driver dropped the page; reload it."));
  new ResizeObserver(() => { resize(); markStrips(); }).observe(byId("stage"));

  // For tests and benchmark: reading pixels back waits until the graphics card has finished.
  function pixels() {
    state.stride = 1;
    draw();
    const gl = renderer.getContext();
    const out = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
    gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, out);
    return out;
  }
  // Choose who draws the points; for tests and benchmark, which look at both on one machine.
  async function drawBy(processor) {
    Object.assign(state, { processor, shown: -1 });
    cache.forEach(dispose);
    cache.clear();
    resize();
    await show(state.frame);
  }
  window.page4d = { state, data, show, play, draw, drawBy, pixels, camera, renderer };
  resize();
  overview();
  confidence();
  // Once the first picture stands, the other frames are decoded while the reader looks at it.
  async function prefetch() {
    for (let i = 1; i < Math.min(data.names.length, budget); i++) {
      if (!cache.has(i)) await decoded(i);
      await new Promise((resume) => setTimeout(resume, 10));
    }
    state.prefetched = true;
  }
  show(0).then(buildStrips).then(prefetch);
})();
