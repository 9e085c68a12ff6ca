// Sets the formulas of the notes, `$`…`$` in the line and ```math between lines, and mends links into the source.
(function () {
    "use strict";

    // A block of code in the language `math` is a formula of its own.
    for (const code of document.querySelectorAll("code.language-math")) {
        const block = document.createElement("div");
        katex.render(code.textContent, block, { displayMode: true, throwOnError: true });
        (code.closest("pre") || code).replaceWith(block);
    }

    // Code between two dollar signs is a formula in the line.
    for (const code of document.querySelectorAll("main code")) {
        const before = code.previousSibling;
        const after = code.nextSibling;
        const isFormula = before && after
            && before.nodeType === Node.TEXT_NODE && after.nodeType === Node.TEXT_NODE
            && before.data.endsWith("$") && after.data.startsWith("$");
        if (!isFormula) continue;
        before.data = before.data.slice(0, -1);
        // What closes a clause becomes a part of the formula, so that no line begins with it.
        const [, closing, rest] = after.data.match(/^\$([.,;:)]*)([^]*)$/);
        after.data = rest;
        const formula = document.createElement("span");
        katex.render(`${code.textContent}\\text{${closing}}`, formula, { throwOnError: true });
        code.replaceWith(formula);
    }

    // The book lies one folder deeper than the notes: ../src is ../../src from here.
    for (const link of document.querySelectorAll("main a[href^='../']")) {
        link.setAttribute("href", "../" + link.getAttribute("href"));
    }
})();
