"use strict";

// A board to draw on, white on black as the model's pictures are. `asked` is called with a PNG after each stroke.
class Board {
  constructor(canvas, asked) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.asked = asked;
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, down: false };
    this.drawing = false;
    this.ink = document.createElement("canvas");
    this.ink.width = canvas.width;
    this.ink.height = canvas.height;
    this.inkContext = this.ink.getContext("2d", { willReadFrequently: true });
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.start(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.end());
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.show());
  }

  clear() {
    this.inkContext.fillStyle = "#000";
    this.inkContext.fillRect(0, 0, this.ink.width, this.ink.height);
    this.empty = true;
    this.show();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  start(event) {
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.drawing = true;
    this.byKey = false;
    const [x, y] = this.place(event);
    this.line(x, y, x, y);
  }

  move(event) {
    if (!this.drawing) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) this.line(this.pen.x, this.pen.y, ...this.place(part));
  }

  end() {
    if (!this.drawing) return;
    this.drawing = false;
    this.ask();
  }

  line(fromX, fromY, toX, toY) {
    const pen = this.inkContext;
    pen.strokeStyle = "#fff";
    pen.lineWidth = this.ink.width / 11;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(fromX, fromY);
    pen.lineTo(toX + 0.01, toY);
    pen.stroke();
    [this.pen.x, this.pen.y] = [toX, toY];
    this.empty = false;
    this.show();
  }

  key(event) {
    const step = this.canvas.width / 32;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const { x, y } = this.pen;
    if (event.key in moves) {
      const within = (value) => Math.min(Math.max(value, 0), this.canvas.width);
      const [toX, toY] = [within(x + moves[event.key][0]), within(y + moves[event.key][1])];
      if (this.pen.down) this.line(x, y, toX, toY);
      else [this.pen.x, this.pen.y] = [toX, toY];
    } else if (event.key === " ") {
      this.pen.down = !this.pen.down;
      if (this.pen.down) this.line(x, y, x, y);
      else this.ask();
    } else if (event.key === "Enter") this.ask();
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else return;
    event.preventDefault();
    this.byKey = true;
    this.show();
  }

  show() {
    this.context.drawImage(this.ink, 0, 0);
    if (!this.byKey || document.activeElement !== this.canvas) return;
    this.context.strokeStyle = this.pen.down ? "#f59e0b" : "#9ca3af";
    this.context.lineWidth = 3;
    this.context.beginPath();
    this.context.arc(this.pen.x, this.pen.y, this.canvas.width / 18, 0, 2 * Math.PI);
    this.context.stroke();
  }

  // The ink alone, in the middle of a square: how the pictures of the usual data sets of digits were made.
  ask() {
    if (this.empty) return;
    const { width, height } = this.ink;
    const pixels = this.inkContext.getImageData(0, 0, width, height).data;
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        if (pixels[4 * (y * width + x)] > 64) {
          [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
          [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
        }
    const side = Math.max(right - left, bottom - top) * (1 + 2 * Board.MARGIN);
    const square = document.createElement("canvas");
    square.width = square.height = width;
    const context = square.getContext("2d");
    context.fillRect(0, 0, width, width);
    const [x, y] = [(left + right - side) / 2, (top + bottom - side) / 2];
    context.drawImage(this.ink, x, y, side, side, 0, 0, width, width);
    square.toBlob((blob) => this.asked(blob), "image/png");
  }
}

Board.MARGIN = 0.08;
