import { LabIcon } from '@jupyterlab/ui-components';

const STROKE = 'class="jp-icon3" stroke="#616161" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"';

/** A key, in the line style of the panel's icons. */
export const accessIcon = new LabIcon({
  name: 'aizen-lab:access',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16" height="16"><g fill="none">' +
    `<circle ${STROKE} cx="5.5" cy="10.5" r="3"/><path ${STROKE} d="M7.7 8.3 13.5 2.5M11 5l2 2"/></g></svg>`
});
