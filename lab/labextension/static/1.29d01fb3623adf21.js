"use strict";(self.rspackChunkaizen_lab=self.rspackChunkaizen_lab||[]).push([[1],{20(e,o,n){var r=n(21),t=n.n(r),a=n(22),i=(n.n(a))()(t());i.push([e.id,`/* Colours, fonts and sizes are JupyterLab's own, so that every theme fits. */

.aizen-panel {
  min-width: 240px;
  overflow: auto;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.aizen-panel .aizen-head,
.aizen-panel section {
  padding: 10px 12px;
  border-bottom: 1px solid var(--jp-border-color2);
}

.aizen-panel h2 {
  margin: 0;
  font-size: var(--jp-ui-font-size2);
}

.aizen-panel h3 {
  margin: 0 0 6px;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
  color: var(--jp-ui-font-color1);
}

.aizen-panel ul {
  display: grid;
  gap: 8px;
  margin: 0;
  padding: 0;
  list-style: none;
}

.aizen-panel p {
  margin: 0;
}

.aizen-panel a,
.aizen-output a {
  color: var(--jp-content-link-color);
  text-decoration: underline;
}

.aizen-row {
  display: flex;
  flex-wrap: wrap;
  gap: 2px 8px;
  align-items: center;
  justify-content: space-between;
}

.aizen-faint {
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size0);
  opacity: 0.85;
}

.aizen-panel code,
.aizen-output code {
  overflow-wrap: anywhere;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.aizen-role {
  padding: 0 4px;
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
  font-size: var(--jp-ui-font-size0);
  font-weight: 600;
  overflow-wrap: anywhere;
}

.aizen-warning::before {
  content: '◷ ';
}

.aizen-success::before {
  content: '✓ ';
}

.aizen-warning,
.aizen-success {
  font-weight: 600;
}

.aizen-panel button,
.aizen-output button {
  min-height: 24px;
  padding: 2px 10px;
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font: inherit;
  cursor: pointer;
}

.aizen-panel button:hover,
.aizen-output button:hover {
  background: var(--jp-layout-color2);
}

.aizen-panel button.aizen-primary,
.aizen-output button.aizen-primary {
  border-color: var(--jp-brand-color0);
  background: var(--jp-brand-color0);
  color: var(--jp-ui-inverse-font-color1);
}

.aizen-panel progress,
.aizen-output progress {
  display: block;
  width: 100%;
  height: 6px;
  margin: 4px 0;
  accent-color: var(--jp-brand-color1);
}

.aizen-panel :focus-visible,
.aizen-output :focus-visible,
.aizen-status:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

.aizen-problem {
  padding: 10px 12px;
  border-bottom: 1px solid var(--jp-border-color2);
  border-left: 4px solid var(--jp-warn-color1);
}

.aizen-problem.aizen-ended {
  border-left-color: var(--jp-error-color1);
}

.aizen-status-item {
  display: flex;
}

.aizen-status {
  display: inline-flex;
  gap: 6px;
  align-items: center;
  height: 24px;
  padding: 0 6px;
  border: 0;
  background: none;
  color: inherit;
  font: inherit;
  cursor: pointer;
}

.aizen-status:hover {
  background: var(--jp-layout-color3);
}

.aizen-status.aizen-stale > span {
  font-style: italic;
}

.aizen-output {
  padding: 2px 0;
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.aizen-output .aizen-refusal {
  padding: 4px 12px;
  border-left: 3px solid var(--jp-error-color1);
}

.aizen-output .aizen-refusal p {
  margin: 3px 0;
}

.aizen-output .aizen-job {
  max-width: 60em;
}

.aizen-buttons {
  display: flex;
  flex-wrap: wrap;
  gap: 4px 16px;
  align-items: center;
  margin: 6px 0;
}

.aizen-output summary {
  min-height: 24px;
  cursor: pointer;
}

.aizen-form {
  display: grid;
  gap: 4px;
  min-width: min(360px, 80vw);
}

.aizen-form label {
  margin-top: 6px;
  font-weight: 600;
}

.aizen-form input,
.aizen-form select,
.aizen-form textarea {
  padding: 4px 6px;
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font: inherit;
  font-weight: 400;
}
`,""]),n.d(o,{},{A:i})},22(e){e.exports=function(e){var o=[];return o.toString=function(){return this.map(function(o){var n="",r=void 0!==o[5];return o[4]&&(n+="@supports (".concat(o[4],") {")),o[2]&&(n+="@media ".concat(o[2]," {")),r&&(n+="@layer".concat(o[5].length>0?" ".concat(o[5]):""," {")),n+=e(o),r&&(n+="}"),o[2]&&(n+="}"),o[4]&&(n+="}"),n}).join("")},o.i=function(e,n,r,t,a){"string"==typeof e&&(e=[[null,e,void 0]]);var i={};if(r)for(var p=0;p<this.length;p++){var s=this[p][0];null!=s&&(i[s]=!0)}for(var l=0;l<e.length;l++){var c=[].concat(e[l]);r&&i[c[0]]||(void 0!==a&&(void 0===c[5]||(c[1]="@layer".concat(c[5].length>0?" ".concat(c[5]):""," {").concat(c[1],"}")),c[5]=a),n&&(c[2]&&(c[1]="@media ".concat(c[2]," {").concat(c[1],"}")),c[2]=n),t&&(c[4]?(c[1]="@supports (".concat(c[4],") {").concat(c[1],"}"),c[4]=t):c[4]="".concat(t)),o.push(c))}},o}},21(e){e.exports=function(e){return e[1]}},14(e){var o=[];function n(e){for(var n=-1,r=0;r<o.length;r++)if(o[r].identifier===e){n=r;break}return n}function r(e,r){for(var t={},a=[],i=0;i<e.length;i++){var p=e[i],s=r.base?p[0]+r.base:p[0],l=t[s]||0,c="".concat(s," ").concat(l);t[s]=l+1;var u=n(c),d={css:p[1],media:p[2],sourceMap:p[3],supports:p[4],layer:p[5]};if(-1!==u)o[u].references++,o[u].updater(d);else{var f=function(e,o){var n=o.domAPI(o);return n.update(e),function(o){o?(o.css!==e.css||o.media!==e.media||o.sourceMap!==e.sourceMap||o.supports!==e.supports||o.layer!==e.layer)&&n.update(e=o):n.remove()}}(d,r);r.byIndex=i,o.splice(i,0,{identifier:c,updater:f,references:1})}a.push(c)}return a}e.exports=function(e,t){var a=r(e=e||[],t=t||{});return function(e){e=e||[];for(var i=0;i<a.length;i++){var p=n(a[i]);o[p].references--}for(var s=r(e,t),l=0;l<a.length;l++){var c=n(a[l]);0===o[c].references&&(o[c].updater(),o.splice(c,1))}a=s}}},16(e){var o={};e.exports=function(e,n){var r=function(e){if(void 0===o[e]){var n=document.querySelector(e);if(window.HTMLIFrameElement&&n instanceof window.HTMLIFrameElement)try{n=n.contentDocument.head}catch(e){n=null}o[e]=n}return o[e]}(e);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(n)}},18(e){e.exports=function(e){var o=document.createElement("style");return e.setAttributes(o,e.attributes),e.insert(o,e.options),o}},17(e,o,n){e.exports=function(e){var o=n.nc;o&&e.setAttribute("nonce",o)}},15(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var o=e.insertStyleElement(e);return{update:function(n){var r,t,a;r="",n.supports&&(r+="@supports (".concat(n.supports,") {")),n.media&&(r+="@media ".concat(n.media," {")),(t=void 0!==n.layer)&&(r+="@layer".concat(n.layer.length>0?" ".concat(n.layer):""," {")),r+=n.css,t&&(r+="}"),n.media&&(r+="}"),n.supports&&(r+="}"),(a=n.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(a))))," */")),e.styleTagTransform(r,o,e.options)},remove:function(){var e;null===(e=o).parentNode||e.parentNode.removeChild(e)}}}},19(e){e.exports=function(e,o){if(o.styleSheet)o.styleSheet.cssText=e;else{for(;o.firstChild;)o.removeChild(o.firstChild);o.appendChild(document.createTextNode(e))}}},13(e,o,n){var r=n(14),t=n.n(r),a=n(15),i=n.n(a),p=n(16),s=n.n(p),l=n(17),c=n.n(l),u=n(18),d=n.n(u),f=n(19),v=n.n(f),m=n(20),z={};z.styleTagTransform=v(),z.setAttributes=c(),z.insert=s().bind(null,"head"),z.domAPI=i(),z.insertStyleElement=d(),t()(m.A,z),m.A&&m.A.locals&&m.A.locals}}]);