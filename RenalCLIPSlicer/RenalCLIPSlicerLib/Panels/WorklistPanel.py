"""The worklist: a reader's cases one after another, and what is noted of each."""

from __future__ import annotations

import os
import time
from html import escape
from typing import Any

import ctk
import qt
import slicer

from RenalCLIPCore.review_reading import readable, task_words

from ..WorklistMemory import WorklistMemory, lastWorklist, rememberWorklist
from ..WorklistReading import WorklistReading
from ..WorklistWords import FILTERS, pointWords, savedWords, timeWords, titleWords, withheldWords
from .Panel import Panel
from .WorklistTables import CasesTable, ConflictTable

FORM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Resources", "UI", "Worklist.ui")
COMMENT_LINES, COMMENT_MS, TICK_MS, RETRY_S = 3, 700, 1000, 10.0
LONGEST_COMMENT, ANSWER_LETTERS = 4000, 5
# sections of the module's form whose content readings without predictions lack
PREDICTED = ("probabilitySection", "recurrenceSection", "explanationSection", "reportSection", "zeroShotSection",
             "neighboursSection")  # fmt: skip
# what opens another study, which a worklist's reader does not
OPENING = ("studyPathEdit", "openButton", "caseTitle", "caseSelector", "usePhasesButton")


class WorklistPanel(Panel):
    """Connects to a worklist, walks through its cases, and takes the reading of the open one."""

    listens = frozenset({"worklist", "busy", "centre", "study", "lesion"})

    def build(self) -> None:
        """Load the form and connect."""
        self.worklist = WorklistReading(self.case, WorklistMemory)
        self._root = slicer.util.loadUI(FORM)
        self.ui.worklistSection.layout().addWidget(self._root)
        self.form = form = slicer.util.childWidgetVariables(self._root)
        form.movedPathEdit.filters = ctk.ctkPathLineEdit.Dirs
        form.filterComboBox.addItems(list(FILTERS))
        form.commentEdit.setTabChangesFocus(True)
        form.commentEdit.setFixedHeight(COMMENT_LINES * int(form.commentEdit.fontMetrics().lineSpacing()) + 12)
        self._cases = CasesTable(form.casesTable, self.theme)
        self._versions = ConflictTable(form.conflictTable, self.onChosen)
        self._boxes: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._hidden, self._typing = False, False
        for frame in (form.noticeLabel, form.conflictFrame, form.movedFrame):
            frame.setStyleSheet(f"#{frame.objectName}{{{self._alert()}}}")
        self._connect()
        self._comment, self._clock = qt.QTimer(), qt.QTimer()
        self._comment.setSingleShot(True)
        timers = ((self._comment, COMMENT_MS, self.onCommentRest), (self._clock, TICK_MS, self.onTick))
        for timer, interval, slot in timers:
            timer.setInterval(interval)
            self.connections.on(timer.timeout, slot)
        self._last, self._tried = time.monotonic(), time.monotonic()
        form.addressEdit.setText(lastWorklist())

    def _connect(self) -> None:
        form, on, named = self.form, self.connections.on, self.connections.onNamed
        for button, slot in (
            (form.browseButton, self.onBrowse),
            (form.connectButton, self.onConnect),
            (form.closeWorklistButton, self.onClose),
            (form.previousCaseButton, self.onPrevious),
            (form.nextCaseButton, self.onNext),
            (form.relocateButton, self.onRelocate),
            (form.accurateButton, self.onAccurate),
            (form.poorButton, self.onPoor),
            (form.confirmButton, self.onConfirm),
            (form.movePointButton, self.onMovePoint),
            (form.placePointButton, self.onPlacePoint),
            (form.flagBox, self.onFlag),
            (form.finishedBox, self.onFinished),
            (form.finishButton, self.onFinish),
        ):
            on(button.clicked, slot)
        on(form.addressEdit.returnPressed, self.onConnect)
        on(form.annotatorEdit.returnPressed, self.onConnect)
        on(form.commentEdit.textChanged, self.onComment)
        named(form.filterComboBox, "currentIndexChanged(int)", self.onFilter)
        named(form.casesTable, "cellDoubleClicked(int,int)", self.onRow)

    def show(self) -> None:
        """Show the worklist as it stands."""
        form, work = self.form, self.worklist
        form.connectFrame.setVisible(not work.connected)
        form.openFrame.setVisible(work.connected)
        idle = self.case.task is None
        form.connectButton.setEnabled(idle)
        if not work.connected:
            self._clock.stop()
            return
        self._clock.start()
        form.whoLabel.setText(f"<b>{escape(work.reader)}</b>  {self.theme.soft(self._progress())}")
        for button in (form.closeWorklistButton, form.previousCaseButton, form.nextCaseButton, form.relocateButton):
            button.setEnabled(idle)
        form.caseTitleLabel.setText(self._title())
        form.nextCaseButton.setText("Next ▶" if work.current else "First case ▶")
        form.previousCaseButton.setVisible(work.current is not None)
        notice = withheldWords(work.withheld)
        form.noticeLabel.setVisible(bool(notice))
        form.noticeLabel.setText(notice)
        form.movedFrame.setVisible(work.moved)
        form.movedLabel.setText(
            "Files of the case are not where the worklist says. Choose the folder that holds them now (where the "
            "cohort table lies), or go on to another case."
        )
        self._showConflict()
        self._showReading(idle)
        self._showSaving()
        form.countLabel.setText(self.theme.soft(f"{len(work.rows)} listed"))
        self._cases.show(work.rows, work.current["number"] if work.current else 0)
        self._root.updateGeometry()
        self.ui.worklistSection.updateGeometry()

    def onBrowse(self, *_: Any) -> None:
        """Choose a worklist's file."""
        found = qt.QFileDialog.getOpenFileName(self._root, "Worklist", "", "Worklists (*.db *.sqlite);;All files (*)")
        file = found if isinstance(found, str) else found[0]
        if file:
            self.form.addressEdit.setText(file)

    def onConnect(self, *_: Any) -> None:
        """Open the worklist."""
        address, reader = str(self.form.addressEdit.text).strip(), str(self.form.annotatorEdit.text).strip()
        if self.worklist.connect(address, reader):
            rememberWorklist(address)
            self.scene.parameters.reader = reader

    def onClose(self, *_: Any) -> None:
        """Let go of the worklist."""
        self.onCommentRest()
        self.worklist.close()

    def onNext(self, *_: Any) -> None:
        """The case after."""
        self._step(1)

    def onPrevious(self, *_: Any) -> None:
        """The case before."""
        self._step(-1)

    def onFinish(self, *_: Any) -> None:
        """This case is read; the next one."""
        if self._open():
            self.onCommentRest()
            self.worklist.change(finished=True)
            self._step(1)

    def onRow(self, row: int = -1, *_: Any) -> None:
        """A case of the list was double-clicked."""
        number = self._cases.number(int(row))
        if number is not None and self.worklist.connected:
            self.onCommentRest()
            self.worklist.open(number)

    def onFilter(self, *_: Any) -> None:
        """Another filter was chosen."""
        if not self.updating and self.worklist.connected:
            self.worklist.show(FILTERS[str(self.form.filterComboBox.currentText)])

    def onRelocate(self, *_: Any) -> None:
        """The files lie in another folder now."""
        folder = str(self.form.movedPathEdit.currentPath).strip()
        if folder:
            self.worklist.relocate(folder)
        else:
            self.case.say("Choose the folder that holds the files now.", "warning")

    def onChosen(self, reading: Any) -> None:
        """A version was chosen."""
        self.worklist.choose(reading)

    def onAccurate(self, *_: Any) -> None:
        """The segmentation is accurate; a second press takes that back."""
        self._quality("accurate")

    def onPoor(self, *_: Any) -> None:
        """The segmentation is poor; a second press takes that back."""
        self._quality("poor")

    def onConfirm(self, *_: Any) -> None:
        """The centre in the views is the lesion's."""
        self.ui.acceptButton.click()

    def onMovePoint(self, *_: Any) -> None:
        """Let the centre be dragged, or not."""
        self.ui.correctButton.click()

    def onPlacePoint(self, *_: Any) -> None:
        """The next click in a view chooses the centre."""
        if self.case.centres.history is not None and not self.ui.correctButton.checked:
            self.ui.correctButton.click()
        self.ui.placeButton.setEnabled(True)
        self.ui.placeButton.click()

    def onFlag(self, *_: Any) -> None:
        """Flagged or not."""
        self._note(flagged=bool(self.form.flagBox.checked))

    def onFinished(self, *_: Any) -> None:
        """Finished or not."""
        self._note(finished=bool(self.form.finishedBox.checked))

    def onComment(self, *_: Any) -> None:
        """The comment is being typed; it is saved at the first pause."""
        if not self.updating:
            self._typing = True
            self._comment.start()

    def onCommentRest(self, *_: Any) -> None:
        """The comment as it reads now."""
        self._comment.stop()
        typed, self._typing = self._typing, False
        if typed and self._open():
            self._note(comment=str(self.form.commentEdit.plainText)[:LONGEST_COMMENT])

    def onAnswer(self, *_: Any) -> None:
        """An answer was chosen."""
        chosen = {name: int(box.currentIndex) - 1 for name, box in self._boxes.items()}
        self._note(answers={name: number for name, number in chosen.items() if number >= 0})

    def onTick(self, *_: Any) -> None:
        """A second went by: it counts while the window is active; what is unsaved is tried again."""
        moment = time.monotonic()
        if qt.QApplication.activeWindow() is not None:
            self.worklist.spend(moment - self._last)
        self._last = moment
        if moment - self._tried >= RETRY_S:
            self._tried = moment
            self.worklist.retry()
        self._showTime()

    def hideWithheld(self) -> None:
        """Hide what the open case does not show, and what would open another case beside the worklist."""
        work = self.worklist
        if "predictions" in work.withheld:
            for name in PREDICTED:
                getattr(self.ui, name).setVisible(False)
        if work.connected or self._hidden:
            for name in OPENING:
                getattr(self.ui, name).setVisible(not work.connected)
            self.ui.segmentButton.setVisible("masks" not in work.withheld)
            self._hidden = work.connected

    def cleanup(self) -> None:
        """Let go of the window; what is unsaved is kept for the next time."""
        self.onCommentRest()
        if self.worklist.saving:
            self.worklist.saving.leave()
            self.worklist.saving.forget()
        self._clock.stop()
        self._comment.stop()
        super().cleanup()
        self._boxes = {}

    def _open(self) -> bool:
        return self.worklist.draft is not None

    def _step(self, step: int) -> None:
        if self.worklist.connected:
            self.onCommentRest()
            self.worklist.step(step)

    def _quality(self, quality: str) -> None:
        draft = self.worklist.draft
        if draft is not None:
            self._note(quality="" if draft.reading["quality"] == quality else quality)
            self.showNow()

    def _note(self, **fields: Any) -> None:
        if not self.updating:
            self.worklist.change(**fields)

    def _progress(self) -> str:
        work = self.worklist
        return f"{work.finished} of {work.total} finished" + (", case names hidden" if work.blinded else "")

    def _title(self) -> str:
        work = self.worklist
        if work.current is None:
            return self.theme.soft("No case is open")
        more = ", second reading" if work.current["session"] == 2 else ""
        return f"<b>{escape(titleWords(work.current, work.rows))}</b>{self.theme.soft(more)}"

    def _showConflict(self) -> None:
        versions = self.worklist.versions()
        self.form.conflictFrame.setVisible(bool(versions))
        if versions:
            who = ", ".join(sorted({one["by"] for one in versions if not one["mine"] and one["by"]})) or "somebody else"
            self.form.conflictLabel.setText(
                f"<b>Two versions of this reading.</b> {escape(who)} changed it at the same time; nothing was "
                "overwritten. Choose the one that shall stand; all stay in the history."
            )
            self._versions.show(versions, self.worklist.questions)

    def _showReading(self, idle: bool) -> None:
        form, draft, withheld = self.form, self.worklist.draft, self.worklist.withheld
        form.readingFrame.setVisible(draft is not None)
        if draft is None:
            return
        reading, free = draft.reading, draft.conflict is None
        form.readingFrame.setEnabled(free)
        form.accurateButton.setChecked(reading["quality"] == "accurate")
        form.poorButton.setChecked(reading["quality"] == "poor")
        masked = "masks" not in withheld
        for button in (form.accurateButton, form.poorButton):
            button.setEnabled(masked)
        self._showCentre(reading["point_lps_mm"])
        if str(form.commentEdit.plainText) != reading["comment"] and not self._typing:
            form.commentEdit.setPlainText(reading["comment"])
        form.flagBox.setChecked(reading["flagged"])
        form.finishedBox.setChecked(reading["finished"])
        form.finishButton.setEnabled(idle)
        self._showAnswers(reading["answers"])
        self._showTime()

    def _showCentre(self, point: Any) -> None:
        form, history = self.form, self.case.centres.history
        unlocked = bool(self.ui.correctButton.checked)
        form.confirmButton.setEnabled(history is not None and not history.accepted)
        form.movePointButton.setEnabled(history is not None)
        form.movePointButton.setChecked(unlocked)
        form.placePointButton.setEnabled(bool(self.case.state.study))
        form.placePointButton.setChecked(self.scene.marks.placing)
        words = pointWords(point)
        if point is None and history is not None:
            words = "the proposed centre is shown; confirm or move it"
        elif point is None and self.case.state.study:
            words = "none is proposed; place one in a view"
        form.pointLabel.setText(self.theme.soft(words))

    def _showAnswers(self, answers: Any) -> None:
        questions = self.worklist.questions
        if questions != self._asked:
            self._ask(questions)
        self.form.answersFrame.setVisible(bool(questions))
        for name, box in self._boxes.items():
            box.setCurrentIndex(answers.get(name, -1) + 1)

    def _ask(self, questions: Any) -> None:
        """A box per question, two in a row, nephrometry first."""
        self._asked, self._boxes = dict(questions), {}
        frame = qt.QWidget()
        grid = qt.QGridLayout(frame)
        grid.setContentsMargins(0, 0, 0, 0)
        ordered = sorted(questions.items(), key=lambda entry: not entry[0].startswith("renal_"))
        for place, (name, classes) in enumerate(ordered):
            box = qt.QComboBox()
            box.addItems(["–", *(readable(text) for text in classes)])
            box.setFocusPolicy(qt.Qt.StrongFocus)
            box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(ANSWER_LETTERS)
            box.connect("currentIndexChanged(int)", lambda *_: self.onAnswer())
            grid.addWidget(qt.QLabel(task_words(name)), place // 2, 2 * (place % 2))
            grid.addWidget(box, place // 2, 2 * (place % 2) + 1)
            self._boxes[name] = box
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        layout = self.form.answersFrame.layout()
        while int(layout.count()) > 1:
            layout.takeAt(1).widget().deleteLater()
        layout.addWidget(frame)

    def _showSaving(self) -> None:
        saving = self.worklist.saving
        if saving is None:
            return
        under = any(draft.sent for draft in saving.drafts.values())
        words = savedWords(saving.problem, len(saving.unsaved), under)
        bad = bool(saving.problem)
        self.form.savedStateLabel.setText(self.theme.warn(words) if bad else self.theme.soft(words))

    def _showTime(self) -> None:
        if self._open():
            self.form.timeLabel.setText(self.theme.soft(timeWords(self.worklist.spent())))

    def _alert(self) -> str:
        edge, back = self.theme.alertEdge, self.theme.alertBack
        return f"background:{back};border:1px solid {edge};border-radius:3px;padding:5px"
