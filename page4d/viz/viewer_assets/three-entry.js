// What the viewer needs of three.js. To renew three.min.js, in an empty folder:
//   npm install three esbuild
//   npx esbuild three-entry.js --bundle --minify --format=iife --global-name=THREE --target=es2020 --outfile=three.min.js
// and put the banner line of the present file in front.
export {
  BufferAttribute, BufferGeometry, CanvasTexture, Color, DataTexture, FloatType, GLSL3, Line, LineBasicMaterial,
  LineSegments, LinearFilter, LinearSRGBColorSpace, Matrix4, Mesh, NearestFilter, PerspectiveCamera, Points, RedFormat,
  Scene, ShaderMaterial, Sprite, SpriteMaterial, Texture, Vector2, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
