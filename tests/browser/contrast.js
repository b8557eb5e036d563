// Every visible text of the page against the background that it really stands on. A hatched or
// shaded background counts with whichever of its colors is worst; text over pictures (inside
// .drawing) cannot be judged this way and carries an outline of its own.
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = color;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  };
  const over = (top, base) => [0, 1, 2].map((i) => top[i] * top[3] + base[i] * (1 - top[3])).concat(1);
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const COLORS = /(?:rgba?|hsla?|color|oklch|oklab|lab|lch)\([^()]*\)|#[0-9a-f]{3,8}\b/gi;
  const grounds = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      const image = style.backgroundImage;
      const choices = image !== "none" ? (image.match(COLORS) || []).map(rgba) : [];
      const plain = rgba(style.backgroundColor);
      layers.push({ choices, plain });
      if (plain[3] === 1) break;
    }
    let bases = [rgba(getComputedStyle(document.documentElement).colorScheme.includes("dark") &&
      matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#ffffff")];
    for (const { choices, plain } of layers.reverse()) {
      bases = bases.map((base) => over(plain, base));
      if (choices.length) bases = bases.flatMap((base) => [base, ...choices.map((c) => over(c, base))]);
    }
    return bases;
  };
  const faults = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    const element = node.parentElement;
    if (!text || element.closest("script, style, noscript, .drawing, option, [disabled]")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    let ink = rgba(svg ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const bold = parseInt(style.fontWeight, 10) >= 700;
    const wanted = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    for (const ground of grounds(element)) {
      const found = ratio(over(ink, ground), ground);
      if (found < wanted) {
        const where = `${element.tagName}.${element.getAttribute("class") || ""}`;
        faults.push(`${found.toFixed(2)} < ${wanted}: ${where} "${text.slice(0, 50)}"`);
        break;
      }
    }
  }
  return [...new Set(faults)].slice(0, 40);
}
