const slider = document.getElementById("epoch");
slider.addEventListener("input", () => {
  const [epoch, data] = snapshots[slider.value];
  document.getElementById("snapshot").src = data;
  document.getElementById("which").textContent = epoch;
});
