// Tables are sorted by a click on a heading: by value (data-v) where a cell has one, else by its text.
// Without this script they stand in the order in which they were written.
document.querySelectorAll('table').forEach(table => table.querySelectorAll('th').forEach((head, column) => {
  const button = document.createElement('button');
  button.textContent = head.textContent;
  head.textContent = '';
  head.append(button);
  const value = row => {
    const cell = row.cells[column], v = cell.dataset.v;
    return v === undefined ? cell.textContent : v === '' ? -Infinity : +v;
  };
  let up = column === 0;
  button.onclick = () => {
    const body = table.tBodies[0], rows = [...body.rows];
    rows.sort((a, b) => {
      const p = value(a), q = value(b);
      return (p < q ? -1 : p > q ? 1 : 0) * (up ? 1 : -1);
    });
    up = !up;
    table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', up ? 'descending' : 'ascending');
    body.append(...rows);
  };
}));
