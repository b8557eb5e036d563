"""Files of published sets of tags, true to their formats, with the cases that trip readers."""

CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices\n"
)
# a lateral view has no AP/PA; one patient's sex is `Unknown`, another's age 0
CHEXPERT_TRAIN = CHEXPERT_HEADER + (
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
    "1.0,,,,,,,,,0.0,,,,1.0\n"
    "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Female,87,Frontal,PA,"
    ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
    "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Female,87,Lateral,,"
    ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
    "CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Unknown,0,Frontal,AP,"
    ",,,,,,,,,,,,,\n"
)
CHEXPERT_VALID = CHEXPERT_HEADER + (
    "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,"
    "0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
)

# two names hold a comma without quotes, and each line of the first release ends with one
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)
NIH_ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,058Y,M,PA,2894,2729,0.143,0.143,\n"
    "00000002_000.png,No Finding,0,2,081Y,M,PA,2500,2048,0.171,0.171,\n"
    "00000003_000.png,Pleural_Thickening|Hernia,0,3,013M,F,AP,2582,2991,0.143,0.143,\n"
    "00000004_000.png,,0,4,003D,F,AP,2582,2991,0.143,0.143,\n"
)
NIH = NIH_HEADER + NIH_ROWS
NIH_V2020 = NIH.replace(",\n", "\n").replace("058Y", "58").replace("081Y", "81")
NIH_QUOTED = NIH.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"').replace(
    "OriginalImagePixelSpacing[x,y]", '"OriginalImagePixelSpacing[x,y]"'
)

OPEN_IMAGES = (
    "ImageID,Source,LabelName,Confidence\n"
    "000002b66c9c498e,verification,/m/01g317,1\n"
    "000002b66c9c498e,crowdsource-verification,/m/0bt9lr,0\n"
    "000002b97e5471a0,verification,/m/0bt9lr,1\n"
    "000002b97e5471a0,machine,/m/01g317,0.9\n"
    "000002c707c9895e,machine,/m/0kpmf,1\n"
)
# a name with a comma, and one that two codes share
DESCRIPTIONS = (
    '/m/0kpmf,"Dog, breed"\n/m/01g317,Person\n/m/0bt9lr,Dog\n/m/06mf6,Bow\n/m/0170s4,Bow\n'
)
BOXES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
    "1,xclick,/m/0bt9lr,1,0.25,0.5,0.1,0.9,0,0,0,0,0\n"
    "0,xclick,/m/01g317,1,0,1,0,1,0,0,1,0,0\n"
    "1,xclick,/m/01g317,1,0.0,0.25,0.5,1.0,0,0,-1,0,0\n"
)
