"use strict";
// Light or dark: as the page around us says (the book, JupyterLab), else as the reader's system does. The colours
// themselves stand in viewer.css; what is drawn by WebGL or a pen reads them from there.
const THEME = (() => {
  const root = document.documentElement;
  const night = matchMedia("(prefers-color-scheme: dark)");

  function around() {
    try {
      return parent === window ? null : parent.document;
    } catch {
      return null; // embedded in a page of somebody else
    }
  }
  function wanted(page) {
    const said = page?.documentElement.dataset.theme;
    if (said === "dark" || said === "light") return said;
    const lab = page?.body?.dataset.jpThemeLight;
    return (lab ? lab === "false" : night.matches) ? "dark" : "light";
  }

  // What is drawn in the page's inks is drawn again whenever they change.
  const drawings = [];
  function draw(drawing) {
    drawings.push(drawing);
    drawing();
  }
  const ink = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  // An image value, as all colours of the scene are: nothing is converted.
  const colour = (name) => new THREE.Color().setStyle(ink(name), THREE.LinearSRGBColorSpace);

  const page = around();
  const dress = () => {
    root.dataset.theme = wanted(page);
    drawings.forEach((drawing) => drawing());
  };
  night.addEventListener("change", dress);
  const watched = { attributeFilter: ["data-theme", "data-jp-theme-light"] };
  if (page) [page.documentElement, page.body].forEach((element) => new MutationObserver(dress).observe(element, watched));
  dress();
  return { draw, ink, colour };
})();
